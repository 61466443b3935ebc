"""Two parents' ws and a weight a row -> a child's ws. Weight 0 is the father, 1 the mother."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spaces.p_space import from_p, to_p


def lerp(father: Tensor, mother: Tensor, weights: Tensor, centre: Tensor) -> Tensor:
    """[L, D], [L, D], [L] -> [L, D]: the straight line. `centre` is not needed and not used."""
    return father + weights[:, None] * (mother - father)


def slerp(father: Tensor, mother: Tensor, weights: Tensor, centre: Tensor) -> Tensor:
    """The arc around `centre` [D], row by row (Shoemake 1985): the way keeps its distance from the average face.

    Lengths go linearly from one parent's to the other's. Parallel rows, which have no arc, take the straight line.
    """
    a, b, t = father - centre, mother - centre, weights[:, None]
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    cosine = ((a * b).sum(1, keepdim=True) / (length_a * length_b).clamp_min(1e-12)).clamp(-1, 1)
    angle = torch.acos(cosine)
    sine = torch.sin(angle).clamp_min(1e-6)
    unit_a, unit_b = a / length_a.clamp_min(1e-12), b / length_b.clamp_min(1e-12)
    direction = (torch.sin((1 - t) * angle) * unit_a + torch.sin(t * angle) * unit_b) / sine
    arc = centre + direction * (length_a + t * (length_b - length_a))
    straight = lerp(father, mother, weights, centre)
    return torch.where((angle < 1e-3) | (angle > torch.pi - 1e-3), straight, arc)


def p_lerp(father: Tensor, mother: Tensor, weights: Tensor, centre: Tensor) -> Tensor:
    """The straight line in the P space of II2S (Zhu 2020, arXiv 2012.09036), where samples are close to a Gaussian.

    There a point between two plausible ones is plausible; in W, where negative values are squeezed, it need not be.
    """
    return from_p(lerp(to_p(father), to_p(mother), weights, centre))


MIXES = {"lerp": lerp, "slerp": slerp, "p_lerp": p_lerp}
