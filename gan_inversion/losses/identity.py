"""Is it still the same person? A distance by dlib's face-recognition network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..estimators.identity import dlib_resnet
from ..interfaces import BoundLoss, Target, Trial


@dataclass(frozen=True)
class Identity:
    """Squared distance of dlib's embeddings (King 2017), for faces aligned as FFHQ: 0.36 is its bound for one person.

    The identity that is reported beside it must come from another network: FaceRes' (`identity_faceres`).
    """

    name: ClassVar[str] = "identity"

    weight: float = 0.5

    @property
    def optimises(self) -> tuple[str, ...]:
        return ("identity_dlib",)

    def bind(self, target: Target) -> BoundLoss:
        network = dlib_resnet(str(target.image.device))
        wanted = network.embed(target.image).detach()

        def loss(trial: Trial) -> Tensor:
            return (network.embed(trial.image) - wanted).square().sum(1)

        return loss
