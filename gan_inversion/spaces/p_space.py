"""P, where a generator's samples are close to a Gaussian: p = leaky_relu(w, 5) (II2S, Zhu 2020, arXiv 2012.09036).

A straight step there stays among the population's faces: moved by three deviations of age, samples keep the P-norm of
samples (0.97), while the same step taken straight in W leads to P-norms of thousands, where estimators disagree.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..interfaces import WStatistics

REACH = 3.0  # deviations, in whitened P, that `draw_back` leaves
MOVED = 1.0  # P-norm of what `draw_back` takes away, up to which ws count as inside


def to_p(w: Tensor) -> Tensor:
    return F.leaky_relu(w, 5.0)


def from_p(p: Tensor) -> Tensor:
    return F.leaky_relu(p, 0.2)


def whiten(w: Tensor, statistics: WStatistics) -> Tensor:
    """w [..., D] -> [..., D], float64, with mean 0 and covariance I over the population."""
    return (to_p(w.double()) - statistics.p_mean.double()) @ statistics.p_whiten.double()


def unwhiten(c: Tensor, statistics: WStatistics) -> Tensor:
    """[..., D] whitened -> w [..., D], float32."""
    return from_p(unwhiten_steps(c, statistics) + statistics.p_mean.double()).float()


def unwhiten_steps(c: Tensor, statistics: WStatistics) -> Tensor:
    """Whitened steps [..., D] -> steps in P [..., D], float64."""
    whitening = statistics.p_whiten.double()
    return torch.linalg.solve(whitening.T, c.double().reshape(-1, c.shape[-1]).T).T.reshape(c.shape)


def draw_back(ws: Tensor, statistics: WStatistics, reach: float = REACH) -> Tensor:
    """ws [..., D] with each whitened coordinate kept within `reach` deviations.

    Inversions of photographs lie tens of deviations out along axes that the population hardly uses: they reconstruct by
    it, but are no plausible faces, and answer directions badly.
    """
    return unwhiten(whiten(ws, statistics).clamp(-reach, reach), statistics)


def is_inside(ws: Tensor, statistics: WStatistics, reach: float = REACH) -> bool:
    """Whether ws [..., D] are such as the generator draws: in no row does `draw_back` move them by much.

    Much is more than `MOVED`, in deviations squared and averaged over the axes. Two of three samples have a coordinate of
    their 512 beyond 3 deviations, and of 4000 none is moved by more than 0.14; inversions in W+ are, by hundreds.
    """
    beyond = (whiten(ws, statistics).abs() - reach).clamp_min(0)
    return bool((beyond.square().mean(-1) <= MOVED).all())
