"""Is it still the same person? A distance by dlib's face-recognition network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.chips import chip
from ..estimators.identity import dlib_resnet
from ..interfaces import BoundLoss, Target, Trial


@dataclass(frozen=True)
class Identity:
    """Squared distance of dlib's embeddings (King 2017), for faces aligned as FFHQ: 0.36 is its bound for one person.

    An embedding of 128 numbers is easily pleased: pictures are found that it takes for the person and others do not. So the
    inner activations are compared too, place by place and of unit length as in LPIPS (Zhang 2018, arXiv 1801.03924), with
    weight `inner`; and with `flip` the mirrored face as well, as face recognition averages its readings.
    The identity that is reported beside it must come from another network: FaceRes' (`identity_faceres`).
    """

    name: ClassVar[str] = "identity"
    version: ClassVar[int] = 2

    weight: float = 0.5
    inner: float = 1.0
    flip: bool = True

    def __post_init__(self) -> None:
        if self.inner < 0:
            raise UserError(f"losses.identity.inner={self.inner:g}: must be at least 0.")

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("identity_dlib",)

    def bind(self, target: Target) -> BoundLoss:
        network = dlib_resnet(str(target.image.device))
        views = [False, True] if self.flip else [False]

        def see(image: Tensor, mirrored: bool) -> tuple[Tensor, list[Tensor]]:
            face = chip(image, 150)
            return network.look(face.flip(3) if mirrored else face)

        with torch.no_grad():
            wanted = [see(target.image, view) for view in views]

        def loss(trial: Trial) -> Tensor:
            total = trial.image.new_zeros(len(trial.image))
            for view, (embedding, layers) in zip(views, wanted, strict=True):
                found, seen = see(trial.image, view)
                total = total + (found - embedding).square().sum(1)
                for a, b in zip(seen, layers, strict=True):
                    total = total + self.inner * (a - b).square().sum(1).mean((1, 2))
            return total / len(views)

        return loss
