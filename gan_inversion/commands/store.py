"""Listing, verifying and pruning a store, and forgetting a photograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..components import build
from ..errors import UserError
from ..report.progress import bar_of
from ..store.maintenance import contents, forget, prune, text_of, verify

ACTIONS = ("list", "verify", "prune")


def tend_store(values: Mapping[str, Any]) -> None:
    """`values`: the config of `store`. Raises UserError if an entry is damaged, or nothing is known of a photograph."""
    if values["do"] not in ACTIONS:
        raise UserError(f"do={values['do']}: choose one of {', '.join(ACTIONS)}")
    if values["keep_days"] is not None and values["do"] != "prune":
        raise UserError("keep_days needs do=prune.")
    store = build(values["store"], "store")
    found = contents(store)
    if values["forget"] is not None:
        gone = forget(store, found, values["forget"])
        if not gone:
            raise UserError(f"forget={values['forget']}: the store {store.path} knows nothing of it.")
        print("\n".join(gone))
        print(f"forgotten: {len(gone)} files removed. Folders of runs, with crops and children, are yours to remove.")
    elif values["do"] == "verify":
        told = verify(store, found, bar_of("verifying", "entry"))
        print(", ".join(f"{len(keys)} {state}" for state, keys in told.items()))
        if told["damaged"]:
            raise UserError(
                f"{store.path}: damaged: {', '.join(told['damaged'])}. do=prune removes them; they are made again when "
                "they are needed."
            )
    elif values["do"] == "prune":
        damaged = verify(store, found, bar_of("verifying", "entry"))["damaged"]
        gone = prune(store, found, values["keep_days"], set(damaged))
        print(f"{len(gone)} files removed")
    else:
        print(text_of(store, found))
