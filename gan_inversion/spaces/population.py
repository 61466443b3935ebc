"""Mean, axes and whitening of W, from samples of a fixed seed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..assets import catalogue
from ..interfaces import WStatistics
from .p_space import to_p

if TYPE_CHECKING:
    from ..interfaces import Generator

SAMPLES, SEED = 10_000, 0


def sample_w(generator: Generator, count: int = SAMPLES, seed: int = SEED) -> tuple[Tensor, Tensor]:
    """(z [count, z_dim], w [count, D]); drawn on the CPU, so the same on every device."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return z, generator.mapping(z.to(generator.device)).cpu()


def truncated(w: Tensor, psi: float | Tensor, statistics: WStatistics) -> Tensor:
    """w [..., D] pulled to the mean of W: 0 is the mean, 1 is w itself (the truncation trick, Karras 2019, B)."""
    mean = statistics.mean.to(w.device)
    return mean + psi * (w - mean)


def compute_statistics(generator: Generator) -> WStatistics:
    """Statistics of 10,000 samples, in float64 on one thread: the same bits whatever the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        w = sample_w(generator)[1].double()
        p = to_p(w)
        w_variance, w_axes = torch.linalg.eigh(torch.cov(w.T))
        p_variance, p_axes = torch.linalg.eigh(torch.cov(p.T))
    finally:
        torch.set_num_threads(threads)
    whiten = p_axes / p_variance.clamp_min(1e-12).sqrt()
    std = w_variance.clamp_min(0).sqrt()
    return WStatistics(*(t.float().contiguous() for t in (w.mean(0), w_axes, std, p.mean(0), whiten)))


def cached_statistics(generator: Generator, kind: str = "") -> WStatistics:
    """The same, kept beside the weights under all that can change them. A cache that cannot be written costs a second a run.

    kind: which of several Ws of this generator.
    """
    drawn = f"{SAMPLES}_{SEED}_torch_{torch.__version__}"
    name = f"statistics_{generator.sha256[:16]}_{generator.device.type}{kind}_{drawn}"
    tensors = catalogue.read_cache(name)
    if tensors is None:
        statistics = compute_statistics(generator)
        catalogue.write_cache(name, asdict(statistics))
        return statistics
    return WStatistics(**tensors)
