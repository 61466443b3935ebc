"""From a child and one parent, plausible faces of the other parent.

A simplification of `inheritance`, whose weights nobody knows afterwards: in whitened P a child is half of each parent plus
a part of its own, c = k (a + b) / 2 + m, with b ~ N(0, I) and m ~ N(0, own^2 I). Given c and a, the other parent is normal
too: mean 2 s (c / k - a / 2), where s = 1 / (1 + 4 own^2 / k^2) draws the linear solution back to the population, and
variance (1 - s) I.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..interfaces import Generator
from ..spaces.p_space import draw_back, unwhiten, whiten
from ..spaces.population import sample_w
from .inheritance import shares_of

PSI = 0.8  # truncation of what is not known


def shrinkage(diversity: float) -> float:
    """s above: 1 for a child without a part of its own, smaller the more of it is its own."""
    own, kept = shares_of(diversity)
    return 1 / (1 + 4 * (own / kept) ** 2) if kept else 0.0


def partner(child: Tensor, parent: Tensor, generator: Generator, seed: int, index: int, diversity: float) -> Tensor:
    """child, parent [L, D] -> other parent [L, D]: sample `index` of `seed`, whatever others are drawn.

    diversity: how far from their parents this family's children lie; 0 gives the linear solution, drawn back only where
    it leaves the population.
    """
    statistics = generator.statistics()
    c, a = (whiten(draw_back(ws, statistics), statistics) for ws in (child, parent))
    s = shrinkage(diversity)
    mean = s * (2 * c / max(shares_of(diversity)[1], 1e-6) - a)
    # Over families its mean square is s; inversions of photographs, which lie farther out, are brought to that.
    mean = mean * (s / mean.square().mean().clamp_min(1e-12)).sqrt().clamp_max(1.0)
    (number,) = np.random.SeedSequence([seed, index]).generate_state(1).tolist()
    # A face of the population rather than Gaussian noise: the mapping's samples are only close to a Gaussian.
    own = PSI * whiten(sample_w(generator, 1, number)[1][0], statistics)
    return draw_back(unwhiten(mean + (1 - s) ** 0.5 * own, statistics), statistics)
