"""Priors: what keeps ws where the generator draws people, so that blends of it are people too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import UserError
from ..interfaces import BoundLoss, Target, Trial, WStatistics
from ..spaces.p_space import to_p

LATE = 11 / 16  # share of the rows before the last ones: what previews of 256 pixels do not draw by themselves


@dataclass(frozen=True)
class PNorm:
    """II2S's P-norm (Zhu 2020, arXiv 2012.09036): squared whitened distance from the mean, averaged over rows."""

    name: ClassVar[str] = "p_norm"

    weight: float = 1e-5

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("p_norm",)

    def bind(self, target: Target) -> BoundLoss:
        return lambda trial: p_norm(trial.ws, target.statistics)


@dataclass(frozen=True)
class DeltaNorm:
    """Mean over rows of the squared distance to their mean: 0 in W, grows as W+ leaves W (Tov 2021, arXiv 2102.02766).

    late: the same of the last rows alone (`LATE`), times this, beside it. Previews stand for the layers of these rows, which
    colour and sharpen: what is wrong in them hardly shows in a preview, and so hardly resists.
    """

    name: ClassVar[str] = "delta_norm"

    weight: float = 1.2e-3
    late: float = 3.0

    def __post_init__(self) -> None:
        if not self.late >= 0:
            raise UserError(f"losses.delta_norm.late={self.late:g}: must be at least 0.")

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("delta_norm",)

    def bind(self, target: Target) -> BoundLoss:
        def loss(trial: Trial) -> Tensor:
            first = min(round(LATE * trial.ws.shape[1]), trial.ws.shape[1] - 1)  # a single row is late, too
            return delta_norm(trial.ws) + (self.late * delta_norm(trial.ws[:, first:]) if self.late else 0.0)

        return loss


def p_norm(ws: Tensor, statistics: WStatistics) -> Tensor:
    """ws [N, L, D] -> [N]: squared Mahalanobis distance in P space over D, averaged over rows. Samples have mean 1."""
    p = to_p(ws) - statistics.p_mean.to(ws.device)
    return (p @ statistics.p_whiten.to(ws.device)).square().mean((1, 2))


def delta_norm(ws: Tensor) -> Tensor:
    """ws [N, L, D] -> [N]."""
    return (ws - ws.mean(1, keepdim=True)).square().sum(2).mean(1)
