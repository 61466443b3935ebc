"""Directions from labelled samples: ways to change one label and leave the others, and the identity, alone.

Labels and an identity embedding are regressed on whitened P (ridge). A direction is then the shortest step, whitened, that
changes its own label's prediction by one standard deviation and the other labels' not at all, where a step is the longer
the more of the embedding it changes: `M = I + weight R R^T`, `M^-1 B (B^T M^-1 B)^-1`. A short step in whitened P is one
that the population itself makes often, so the face stays plausible; published directions are normals of a classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..interfaces import WStatistics
from ..spaces.p_space import unwhiten_steps, whiten

RIDGE = tuple(10.0**k for k in (1, 1.5, 2, 2.5, 3, 3.5, 4))
FOLDS = 5


@dataclass(frozen=True)
class Fit:
    vectors: Tensor  # [K, D] in P; a step of 1 changes the label's prediction by one standard deviation
    deviations: Tensor  # [K], of the labels: what a step of 1 is meant to change
    correlation: Tensor  # [K], between label and prediction on folds that were held out
    ridge: float


def fit(
    w: Tensor,
    labels: Tensor,
    identity: Tensor,
    statistics: WStatistics,
    identity_weight: float,
    beside: Tensor | None = None,
) -> Fit:
    """w [N, D], labels [N, K], identity [N, E] -> directions. The ridge is the best of seven by cross-validation.

    identity_weight: 0 takes the shortest way; larger goes around what the embedding sees. beside: [M, D], directions of
    other labels, found like this from other samples: what they change is left alone too.
    """
    x = whiten(w, statistics)
    y = _standard(labels.double())
    scores = torch.stack([_correlations(x, y, ridge) for ridge in RIDGE])
    best = int(scores.mean(1).argmax())
    targets = torch.cat([y, _standard(identity.double())], 1)
    coefficients = _ridge(x, targets, RIDGE[best])
    b, r = coefficients[:, : y.shape[1]], coefficients[:, y.shape[1] :]
    metric = torch.eye(len(b), dtype=b.dtype) + identity_weight * r @ r.T
    if beside is not None:  # a direction is M^-1 times what its label, and the others', answer to
        b = torch.cat([b, metric @ (beside.double() @ statistics.p_whiten.double()).T], 1)
    steps = torch.linalg.solve(metric, b)
    steps = (steps @ torch.linalg.inv(b.T @ steps))[:, : y.shape[1]]  # [D, K]
    return Fit(unwhiten_steps(steps.T, statistics).float(), labels.double().std(0), scores[best], RIDGE[best])


def _standard(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0).clamp_min(1e-9)


def _ridge(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """[D, K]: coefficients of y, centred, on x, which is whitened by the population."""
    return torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)


def _correlations(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """[K]: each label with its prediction from the other folds."""
    fold = torch.arange(len(x)) % FOLDS
    predicted = torch.zeros_like(y)
    for k in range(FOLDS):
        predicted[fold == k] = x[fold == k] @ _ridge(x[fold != k], y[fold != k], ridge)
    return (_standard(predicted) * _standard(y)).mean(0)
