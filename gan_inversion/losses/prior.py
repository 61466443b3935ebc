"""Priors: what keeps ws where the generator draws people, so that blends of it are people too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..interfaces import BoundLoss, Target, WStatistics
from ..spaces.p_space import to_p


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
    """Mean over rows of the squared distance to their mean: 0 in W, grows as W+ leaves W (Tov 2021, arXiv 2102.02766)."""

    name: ClassVar[str] = "delta_norm"

    weight: float = 1.2e-3

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("delta_norm",)

    def bind(self, target: Target) -> BoundLoss:
        return lambda trial: delta_norm(trial.ws)


def p_norm(ws: Tensor, statistics: WStatistics) -> Tensor:
    """ws [N, L, D] -> [N]: squared Mahalanobis distance in P space over D, averaged over rows. Samples have mean 1."""
    p = to_p(ws) - statistics.p_mean.to(ws.device)
    return (p @ statistics.p_whiten.to(ws.device)).square().mean((1, 2))


def delta_norm(ws: Tensor) -> Tensor:
    """ws [N, L, D] -> [N]."""
    return (ws - ws.mean(1, keepdim=True)).square().sum(2).mean(1)
