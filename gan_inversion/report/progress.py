"""A bar over an inversion: losses, step rate, time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

from ..interfaces import Step

T = TypeVar("T")
Watcher = Callable[[str, int, int], None]  # what is done, how many of it, of how many

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """All bars of this thread are told to `watcher` too, at each step."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def _tell(title: str, done: float, total: float | None) -> None:
    watcher = _WATCHER.get()
    if watcher is not None and total:
        watcher(title, int(done), int(total))


class _Bar(tqdm):
    """Time left is told after the first tenth: before it, it is a guess."""

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        found: MutableMapping[str, Any] = super().format_dict
        if found["total"] and found["n"] - found["initial"] < found["total"] / 10:
            found["bar_format"] = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        return found

    def update(self, n: float | None = 1) -> bool | None:
        shown: bool | None = super().update(n)
        _tell(self.desc, self.n, self.total)
        return shown

    def __iter__(self) -> Iterator[Any]:
        for done, item in enumerate(super().__iter__()):
            _tell(self.desc, done, self.total)
            yield item


def bar_of(title: str, unit: str) -> Callable[[Iterable[T]], Iterable[T]]:
    """Shows how many of a list are done; of one nothing, as that would stand at 0 until the end; where nobody watches a
    line."""

    def shown(items: Iterable[T]) -> Iterable[T]:
        items = list(items)
        return items if len(items) < 2 else _bar(iterable=items, desc=title, unit=unit)

    return shown


class _Lines:
    """Where nobody watches, what tqdm would draw over itself stands in lines of its own."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip("\r\n ") + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def _bar(**settings: Any) -> Any:
    """A live bar on a terminal; elsewhere a line every 30 seconds."""
    if sys.stderr.isatty():
        return _Bar(mininterval=0.5, maxinterval=1, miniters=0, dynamic_ncols=True, **settings)
    return _Bar(mininterval=30, maxinterval=60, miniters=0, file=_Lines(), **settings)


class Showing:
    """A progress bar; elsewhere than on a terminal, a line every 30 seconds."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = _bar(total=total, desc=title)

    def __enter__(self) -> Showing:
        return self

    def reach(self, count: int) -> None:
        self._bar.update(count - self._bar.n)

    def update(self) -> None:
        self._bar.update(1)

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        self._bar.set_postfix_str("  ".join(f"{name} {value:.3f}" for name, value in losses.items()), refresh=False)
        self.reach(step + 1)

    def __exit__(self, *error: object) -> None:
        self._bar.close()


class InversionBar:
    """Use as a context manager and as `on_step`. On a terminal a live bar; elsewhere a line every 30 seconds."""

    def __init__(self, faces: int, steps: int, title: str = "inverting") -> None:
        self._bar = _bar(total=faces * (steps + 1), desc=title, unit="step")
        self._steps: dict[int, int] = {}
        self._totals: dict[int, float] = {}

    def __enter__(self) -> InversionBar:
        return self

    def __call__(self, step: Step) -> None:
        self._bar.update(step.step - self._steps.get(step.face, -1))
        self._steps[step.face] = step.step
        self._totals[step.face] = step.losses["total"]
        terms = "  ".join(f"{name} {value:.3f}" for name, value in step.losses.items() if name != "total")
        mean = sum(self._totals.values()) / len(self._totals)
        self._bar.set_postfix_str(f"loss {mean:.3f} | {terms}", refresh=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.leave = self._bar.n > 0  # nothing to do is no failure: the store had all
        self._bar.close()


class BatchBar:
    """Items done, faces inverted, failures, rate, time left. Elsewhere than on a terminal, a line every 30 seconds."""

    def __init__(self, total: int, kind: str = "couples", before: int = 0) -> None:
        # The mean rate: between items only steps are shown, which a moving one would take for no time.
        self._bar = _bar(total=total, initial=before, desc=kind, unit=kind.removesuffix("s"), smoothing=0)
        self._kind, self._told, self._done, self._steps = kind, "", before, dict[int, float]()

    def __enter__(self) -> BatchBar:
        return self

    def show(self, done: int, inverted: int, found: int, failed: int) -> None:
        faces = f"{inverted} faces inverted, {found} in the store" if found else f"{inverted} faces inverted"
        self._told = f"{faces}, {failed} {self._kind} failed"
        self._bar.set_postfix_str(self._told, refresh=False)
        self._done = done
        self._steps.clear()
        self._bar.update(done - self._bar.n)

    def step(self, step: Step) -> None:
        """A step of some face: a sign of life between items."""
        self._bar.set_postfix_str(
            ", ".join(filter(None, [self._told, f"step {step.step} of {step.steps}"])), refresh=False
        )
        self._steps[step.face] = step.step / max(step.steps, 1)
        if self._bar.total == 1:  # else it would stand at 0 until the end
            self._bar.update(round(max(self._done, min(0.9, sum(self._steps.values()) / 2)) - self._bar.n, 2))
        else:
            self._bar.update(0)

    def __exit__(self, *error: object) -> None:
        self._bar.close()
