"""Listing, verifying and pruning a store, and forgetting a photograph."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..report.progress import bar_of
from ..store.maintenance import contents, forget, prune, text_of, verify
from ..store.store import Store
from .common import Invocation

ACTIONS = ("list", "verify", "prune")


@dataclass(frozen=True, kw_only=True)
class TendStore:
    do: str
    forget: str | None
    keep_days: float | None
    store: Store

    def run(self, call: Invocation) -> None:
        """Raises UserError if an entry is damaged, or nothing is known of a photograph."""
        if self.do not in ACTIONS:
            raise UserError(f"do={self.do}: choose one of {', '.join(ACTIONS)}")
        if self.keep_days is not None and self.do != "prune":
            raise UserError("keep_days needs do=prune.")
        found = contents(self.store)
        if self.forget is not None:
            gone = forget(self.store, found, self.forget)
            if not gone:
                raise UserError(f"forget={self.forget}: the store {self.store.path} knows nothing of it.")
            print("\n".join(gone))
            print(
                f"forgotten: {len(gone)} files removed. Folders of runs, with crops and children, are yours to remove."
            )
        elif self.do == "verify":
            told = verify(self.store, found, bar_of("verifying", "entry"))
            print(", ".join(f"{len(keys)} {state}" for state, keys in told.items()))
            if told["damaged"]:
                raise UserError(
                    f"{self.store.path}: damaged: {', '.join(told['damaged'])}. do=prune removes them; they are made "
                    "again when they are needed."
                )
        elif self.do == "prune":
            damaged = verify(self.store, found, bar_of("verifying", "entry"))["damaged"]
            gone = prune(self.store, found, self.keep_days, set(damaged))
            print(f"{len(gone)} files removed")
        else:
            print(text_of(self.store, found))
