"""The way of an inversion: losses and latents of every step, small pictures of some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..image import area_resize, to_uint8
from ..interfaces import OnStep, Step

FRAME = 256  # pixels


@dataclass(frozen=True)
class Trace:
    losses: Mapping[str, np.ndarray]  # name -> [steps]; NaN where a step had no such loss
    ws: np.ndarray  # [steps, L, D] float32
    frames: np.ndarray  # uint8 [frames, 256, 256, 3], every so many steps


class Recorder:
    """An `on_step` that remembers, and passes on."""

    def __init__(self, every: int, then: OnStep) -> None:
        self.every, self.then = every, then
        self._losses: dict[int, list[dict[str, float]]] = {}
        self._ws: dict[int, list[np.ndarray]] = {}
        self._frames: dict[int, list[np.ndarray]] = {}

    def __call__(self, step: Step) -> None:
        self._losses.setdefault(step.face, []).append(dict(step.losses))
        self._ws.setdefault(step.face, []).append(step.ws[0].cpu().numpy())
        if step.step % self.every == 0 or step.step == step.steps:
            small = area_resize(step.image, FRAME)  # early steps may be smaller previews
            self._frames.setdefault(step.face, []).append(to_uint8(small))
        self.then(step)

    def trace(self, face: int) -> Trace:
        losses = self._losses[face]  # those of a refinement are not those of the search
        names = dict.fromkeys(name for row in losses for name in row)
        columns = {name: np.array([row.get(name, np.nan) for row in losses]) for name in names}
        return Trace(columns, np.stack(self._ws[face]), np.stack(self._frames[face]))
