"""Adam (Kingma 2015, arXiv 1412.6980) with torch's own arithmetic, and without what its class imports.

`torch.optim.Adam` imports torch's compiler when it is made, two seconds that every command would wait for. The function
that it calls, and so every bit, is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

EPSILON = 1e-8  # torch's default


class Adam:
    """Of leaves that need gradients. `learning_rate` may change between steps; a leaf without a gradient stays."""

    def __init__(self, leaves: Sequence[Tensor], learning_rate: float, betas: tuple[float, float]) -> None:
        self.leaves, self.learning_rate, self.betas = list(leaves), learning_rate, betas
        self._moments = [(torch.zeros_like(one), torch.zeros_like(one), torch.tensor(0.0)) for one in self.leaves]

    @torch.no_grad()
    def step(self) -> None:
        known = [
            (leaf, leaf.grad, *moments)
            for leaf, moments in zip(self.leaves, self._moments, strict=True)
            if leaf.grad is not None
        ]
        if not known:
            return
        leaves, gradients, means, squares, counts = (list(part) for part in zip(*known, strict=True))
        beta1, beta2, rate = *self.betas, self.learning_rate
        plain: Any = {"amsgrad": False, "weight_decay": 0.0, "maximize": False}
        adam(leaves, gradients, means, squares, [], counts, lr=rate, beta1=beta1, beta2=beta2, eps=EPSILON, **plain)

    def forget(self) -> None:
        """No leaf has a gradient any more."""
        for leaf in self.leaves:
            leaf.grad = None
