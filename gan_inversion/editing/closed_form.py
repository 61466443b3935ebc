"""Directions that need no labels: how the generator's own numbers are shaped. Their meaning is found by looking."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..interfaces import Generator


def pca(generator: Generator, count: int) -> Tensor:
    """[count, D]: principal axes of W, largest first, each one standard deviation long (GANSpace, Härkönen 2020,
    arXiv 2004.02546)."""
    statistics = generator.statistics()
    return (statistics.w_axes * statistics.w_std).T.flip(0)[:count].contiguous()


def sefa(generator: Generator, count: int) -> Tensor:
    """[count, D], unit length: what changes the styles most, largest first (SeFa, Shen 2021,
    arXiv 2007.06600).

    The eigenvectors of A^T A, where A maps w to the styles; A is read off `generator.styles`, which is affine. Layers are
    brought to the same scale first, because the factor on a layer's styles is a convention.
    """
    ws = torch.zeros(1 + generator.w_dim, generator.num_ws, generator.w_dim, device=generator.device)
    ws[1:] = torch.eye(generator.w_dim, device=generator.device)[:, None]
    with torch.no_grad():
        styles = generator.styles(ws).cpu().double()
    slopes = styles[1:] - styles[:1]  # [D, S]
    layers = generator.style_rows
    chosen = [slopes[:, layers == row] for row in range(generator.num_ws)]
    scaled = torch.cat([part / part.square().sum().sqrt() for part in chosen], 1)
    vectors = torch.linalg.eigh(scaled @ scaled.T)[1].T.flip(0)
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()  # an eigenvector has none of its own
    return (vectors * signs)[:count].float().contiguous()


CLOSED_FORM: dict[str, Callable[[Generator, int], Tensor]] = {"sefa": sefa, "pca": pca}
