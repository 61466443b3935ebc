"""A bar over an inversion: losses, step rate, time left."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from ..interfaces import Step


class InversionBar:
    """Use as a context manager and as `on_step`. On a terminal a live bar; elsewhere a line every 30 seconds."""

    def __init__(self, faces: int, steps: int, title: str = "inverting") -> None:
        live = sys.stderr.isatty()
        self._bar = tqdm(
            total=faces * (steps + 1),
            desc=title,
            unit="step",
            mininterval=0.5 if live else 30,
            maxinterval=1 if live else 60,
            dynamic_ncols=live,
            disable=None if live else False,
        )
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
        self._bar.close()
