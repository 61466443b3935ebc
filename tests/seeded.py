"""Networks whose tensors are all drawn from a seed: the procedure behind the golden numbers, see tests/golden/README.md."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint

Shape = tuple[int, ...]


def fill(shapes: Mapping[str, Shape], seed: int) -> dict[str, Tensor]:
    """Every tensor from one `default_rng(seed)`, in sorted order of names: n standard normal numbers, then by name

    resample_filter: (0.2 + |n|) / its sum; affine.bias: 1 + 0.3 n; mapping.fc*.weight: 100 n; mapping.fc*.bias: 20 n;
    other biases, noise_strength and w_avg: 0.3 n; all others: n.
    """
    rng, state = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        n = rng.standard_normal(shapes[name]).astype(np.float32)
        last = name.rpartition(".")[2]
        if last == "resample_filter":
            n = (0.2 + abs(n)) / (0.2 + abs(n)).sum()
        elif name.endswith("affine.bias"):
            n = 1 + 0.3 * n
        elif name.startswith("mapping.fc"):
            n = (100 if last == "weight" else 20) * n
        elif last in ("bias", "noise_strength", "w_avg"):
            n = 0.3 * n
        state[name] = torch.from_numpy(np.asarray(n, np.float32))
    return state


def stylegan2_shapes(
    resolution: int,
    architecture: str = "skip",
    channel_base: int = 128,
    channel_max: int = 16,
    w_dim: int = 12,
    z_dim: int = 8,
    c_dim: int = 0,
    layers: int = 2,
    img_channels: int = 3,
    taps: Shape = (4, 4),
    noisy: bool = True,
) -> dict[str, Shape]:
    """Names and shapes of a StyleGAN2, channels = min(channel_base / pixels, channel_max)."""
    shapes: dict[str, Shape] = {"mapping.w_avg": (w_dim,)}
    if c_dim:
        shapes |= {"mapping.embed.weight": (w_dim, c_dim), "mapping.embed.bias": (w_dim,)}
    for i in range(layers):
        inputs = w_dim if i else z_dim + (w_dim if c_dim else 0)
        shapes |= {f"mapping.fc{i}.weight": (w_dim, inputs), f"mapping.fc{i}.bias": (w_dim,)}
    side, before = 4, 0
    while side <= resolution:
        name, out = f"synthesis.b{side}", min(channel_base // side, channel_max)
        shapes[f"{name}.resample_filter"] = taps
        if not before:
            shapes[f"{name}.const"] = (out, 4, 4)
        for conv, inputs in (("conv0", before), ("conv1", out)) if before else (("conv1", out),):
            shapes |= {
                f"{name}.{conv}.affine.weight": (inputs, w_dim),
                f"{name}.{conv}.affine.bias": (inputs,),
                f"{name}.{conv}.weight": (out, inputs, 3, 3),
                f"{name}.{conv}.bias": (out,),
                f"{name}.{conv}.resample_filter": taps if conv == "conv0" else (4, 4),
            }
            if noisy:
                shapes |= {f"{name}.{conv}.noise_strength": (), f"{name}.{conv}.noise_const": (side, side)}
        if side == resolution or architecture == "skip":
            shapes |= {
                f"{name}.torgb.affine.weight": (out, w_dim),
                f"{name}.torgb.affine.bias": (out,),
                f"{name}.torgb.weight": (img_channels, out, 1, 1),
                f"{name}.torgb.bias": (img_channels,),
            }
        if before and architecture == "resnet":
            shapes |= {f"{name}.skip.weight": (out, before, 1, 1), f"{name}.skip.resample_filter": taps}
        side, before = 2 * side, out
    return shapes


def stylegan2(resolution: int, seed: int, options: Mapping[str, object] | None = None, **sizes: object) -> Checkpoint:
    """sizes: of `stylegan2_shapes`."""
    return Checkpoint("stylegan2", fill(stylegan2_shapes(resolution, **sizes), seed), options or {})  # type: ignore[arg-type]


def truncated(w: Tensor, w_avg: Tensor, num_ws: int, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """w [N, D] -> ws [N, L, D], the first `cutoff` rows (None: all) pulled to the mean by psi (Karras 2019, B)."""
    ws = w[:, None].repeat(1, num_ws, 1)
    pulled = w_avg + psi * (ws - w_avg)
    return torch.cat([pulled[:, :cutoff], ws[:, num_ws if cutoff is None else cutoff :]], 1)
