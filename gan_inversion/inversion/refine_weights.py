"""Pivotal tuning (Roich 2021, arXiv 2106.05744): ws are the pivot; a copy of the generator moves until it draws the face.

There all weights of the synthesis network move, and each face has a generator of its own. Here a gain and a shift of each
output channel do, so that the copy is small enough to lie beside ws; the generator itself stays as it is. One copy may
serve both parents of a couple, as in the paper's section on several identities; then it draws their children too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import Generator, Inversion, OnStep
from .refining import PREVIEW, Refining, drawn_from

SEED = 0  # of the faces that are held: the same for every inversion, so that none depends on another's number


@dataclass(frozen=True)
class Weights(Refining):
    """Gain and shift of the channels of some layers; 1 is twice the weights, or the root mean square of a layer's bias.

    sides: pixels of the layers; None: all. locality: weight of what keeps the copy near the generator elsewhere (section
    3.3): LPIPS-AlexNet and squared difference of both at a random face, at the distance alpha from ws, all rows together;
    a new one at each step. together: found on both parents at once, one copy for their family. `Refining` has the others.
    """

    name: ClassVar[str] = "weights"

    learning_rate: float = 0.02
    sides: tuple[int, ...] | None = None
    locality: float = 0.1
    alpha: float = 30.0
    together: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.locality < 0:
            raise UserError(f"refine.locality={self.locality:g}: must not be negative.")
        if self.alpha <= 0:
            raise UserError(f"refine.alpha={self.alpha:g}: must be above 0.")

    def settings(self) -> dict[str, Any]:
        """The fields that can change the result."""
        fields = {field: getattr(self, field) for field in self.__dataclass_fields__}
        return fields if self.locality else {name: value for name, value in fields.items() if name != "alpha"}

    def begin(self, generator: Generator, found: Inversion) -> _Copy:
        return _Copy(generator, found, self, self.chosen(generator))

    def tune(
        self, generator: Generator, targets: Sequence[Tensor], found: Sequence[Inversion], on_step: OnStep
    ) -> list[Inversion]:
        """Faces [1, 3, R, R] and their inversions -> the same, all drawn by one copy. Raises UserError as a refinement."""
        channels = self.chosen(generator)
        copies = [_Copy(generator, one, self, channels) for one in found]
        for copy in copies:
            copy.moved = copies[0].moved
        return self.search(generator, targets, found, copies, on_step)

    def chosen(self, generator: Generator) -> Tensor:
        """[K]: 1 for channels that move, else 0. Raises UserError if there are none."""
        known = sorted(set(generator.channel_sides.tolist()))
        if not known:
            raise UserError("refine=weights: this generator cannot be tuned.")
        if self.sides is None:
            return torch.ones(len(generator.channel_sides))
        if not self.sides or not {*self.sides} <= {*known}:
            raise UserError(f"refine.sides={list(self.sides)}: the layers of this generator are {known}.")
        return torch.isin(generator.channel_sides, torch.tensor(self.sides)).float()


class _Copy:
    def __init__(self, generator: Generator, found: Inversion, refine: Weights, channels: Tensor) -> None:
        self.generator, self.refine, self.base = generator, refine, drawn_from(generator, found)
        self.ws, self.channels = found.ws[None].to(generator.device), channels.to(generator.device)
        self.random = torch.Generator().manual_seed(SEED)
        before = self.base.get("tuning")
        self.begun = torch.zeros(2, len(channels), device=generator.device) if before is None else before
        self.moved = torch.zeros_like(self.begun).requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.moved]

    @property
    def tuning(self) -> Tensor:
        return self.begun + self.moved * self.channels

    def parts(self) -> dict[str, Any]:
        return {**self.base, "tuning": self.tuning}

    def held(self, resolution: int | None) -> dict[str, tuple[float, Tensor]]:
        if not self.refine.locality:
            return {}
        size = min(PREVIEW, self.generator.resolution)
        with torch.no_grad():
            z = torch.randn(1, self.generator.z_dim, generator=self.random).to(self.generator.device)
            ws = nearby(self.ws, self.generator.mapping(z), self.refine.alpha)
            own = area_resize(self.generator.synthesis(ws, resolution=resolution), size)
        ours = area_resize(self.generator.synthesis(ws, resolution=resolution, tuning=self.tuning), size)
        network = lpips_network("alex", str(ours.device))
        far = network.distance(network.features(ours), network.features(own))
        return {"locality": (self.refine.locality, far + (ours - own).square().mean((1, 2, 3)))}

    def settle(self) -> None:
        """Any copy is one."""

    def kept(self, found: Inversion) -> Inversion:
        return replace(found, tuning=self.tuning.detach().cpu())


def nearby(ws: Tensor, w: Tensor, alpha: float) -> Tensor:
    """ws [1, L, D], and w [1, D] of a random face -> ws at the distance alpha from the former, towards the latter."""
    way = w[:, None] - ws
    return ws + alpha * way / way.norm().clamp_min(1e-8)
