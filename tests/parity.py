"""Networks of the original code, pickled by it, read and drawn by ours: the table of docs/generators.md.

    python -m tests.parity CLONE_OF_STYLEGAN2_ADA_PYTORCH
    python -m tests.parity CLONE_OF_STYLEGAN3
    python -m tests.parity CLONE_OF_ROSINALITY_STYLEGAN2_PYTORCH
    python -m tests.parity FOLDER_THAT_TENSORFLOW_PICKLES_WROTE                (tests/tensorflow_pickles.py)

Every parameter and buffer is random, noise strengths, biases and means too, but for filters and Fourier features. Per case
the largest difference of w, and of the pictures over their range.
"""

from __future__ import annotations

import importlib
import io
import itertools
import math
import pickle
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_inversion.checkpoints.foreign import read_checkpoint
from gan_inversion.generators.family import StyleGAN
from gan_inversion.generators.file import build_checkpoint
from tests.seeded import truncated

SIDES, Z_DIM, W_DIM = (16, 32, 64, 256), 16, 24
FIXED = ("filter", "freqs", "phases", "transform", "kernel")
CHANNELS = {"channel_base": 1024, "channel_max": 16}


def randomise(module: nn.Module, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith(FIXED) or not tensor.is_floating_point():
                continue
            x = 0.3 * torch.randn(tensor.shape, generator=draw)
            if name.endswith(("affine.bias", "modulation.bias")):
                x = x + 1
            elif name.endswith("magnitude_ema"):
                x = x.abs() + 0.5
            elif name.startswith(("mapping.fc", "style.")):
                x = 100 * x
            tensor.copy_(x)


def imported(clone: Path, module: str) -> Any:
    """A module of the reference. What it asks of pkg_resources, which newer setuptools lack, is a version."""
    stub: Any = types.ModuleType("pkg_resources")
    stub.parse_version = lambda text: tuple(int(part) for part in text.split("a")[0].split("+")[0].split(".")[:2])
    sys.modules.setdefault("pkg_resources", stub)
    sys.path.insert(0, str(clone))
    return importlib.import_module(module)


def ours(data: bytes, label: int | None) -> StyleGAN:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return build_checkpoint(read_checkpoint(Path(file.name)), class_label=label)


Case = tuple[str, StyleGAN, Tensor, Tensor, Tensor]  # name, ours, z, w of the reference, ws
Drawn = tuple[Case, Tensor, list[Tensor] | None]


def nvidia(networks: Any, kinds: dict[str, dict[str, Any]], old: bool) -> Iterator[Drawn]:
    """old: stylegan2-ada-pytorch, whose keywords lie one level deeper."""
    for (kind, options), side, classes in itertools.product(kinds.items(), SIDES, (0, 3)):
        options = {**CHANNELS, **options}
        rotated, noise = options.pop("rotated", False), options.pop("noise_mode", "const")
        keywords = {"synthesis_kwargs": options} if old else options
        network = networks.Generator(Z_DIM, classes, W_DIM, side, 3, **keywords).eval().requires_grad_(False)
        randomise(network, side + classes)
        if rotated:
            cos, sin = math.cos(0.4), math.sin(0.4)
            turn = torch.tensor([[cos, -sin, 0.1], [sin, cos, -0.2], [0, 0, 1]])
            network.synthesis.input.transform.copy_(turn)
        generator = ours(pickle.dumps({"G_ema": network}), 1 if classes else None)
        z = torch.randn(2, Z_DIM, generator=torch.Generator().manual_seed(side))
        label = F.one_hot(torch.tensor([1, 1]), max(classes, 2))[:, :classes].float()
        w = network.mapping(z, label)[:, 0]
        ws = network.mapping(z, label, truncation_psi=0.7, truncation_cutoff=4)
        pulled = truncated(generator.mapping(z), generator.w_avg, generator.num_ws, 0.7, 4)
        assert torch.allclose(ws, pulled, atol=1e-5)
        stylegan2 = "noise_const" in " ".join(dict(network.named_buffers()))
        image = network.synthesis(ws, **({"noise_mode": noise, "force_fp32": True} if stylegan2 else {}))
        maps = [torch.zeros_like(one) for one in generator.noise_maps()] if noise == "none" else None
        yield (f"{kind}, {side} pixels, {classes} classes", generator, z, w, pulled), image, maps


def rosinality(clone: Path) -> Iterator[Drawn]:
    """Its compiled operations are replaced by their definitions, as it needs a compiler for them."""
    operations: Any = types.ModuleType("op")

    def fused_leaky_relu(x: Tensor, bias: Tensor, slope: float = 0.2, scale: float = 2**0.5) -> Tensor:
        return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), slope) * scale

    class FusedLeakyReLU(nn.Module):
        def __init__(self, channel: int) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(channel))

        def forward(self, x: Tensor) -> Tensor:
            return fused_leaky_relu(x, self.bias)

    def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
        n, c, h, w = x.shape
        x = F.pad(x.reshape(n * c, 1, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n * c, 1, h * up, w * up)
        x = F.conv2d(F.pad(x, (pad[0], pad[1], pad[0], pad[1])), kernel.flip(0, 1)[None, None])[:, :, ::down, ::down]
        return x.reshape(n, c, *x.shape[2:])

    operations.fused_leaky_relu, operations.FusedLeakyReLU = fused_leaky_relu, FusedLeakyReLU
    operations.upfirdn2d, operations.conv2d_gradfix = upfirdn2d, F
    sys.modules["op"] = operations
    model = imported(clone, "model")
    for side, new, prefix in itertools.product((16, 32, 64, 256), (True, False), ("g_ema", "decoder")):
        network = model.Generator(side, W_DIM, 3, channel_multiplier=1).eval().requires_grad_(False)
        randomise(network, side)
        part, mean = network.state_dict(), torch.randn(W_DIM)
        tree: dict[str, Any] = {"g_ema": part, "latent_avg": mean}
        if prefix == "decoder":
            tree = {"state_dict": {f"decoder.{n}": t for n, t in part.items()}, "latent_avg": mean.repeat(8, 1)}
        buffer = io.BytesIO()
        torch.save(tree, buffer, _use_new_zipfile_serialization=new)
        generator = ours(buffer.getvalue(), None)
        z = torch.randn(2, W_DIM, generator=torch.Generator().manual_seed(side))
        w = network.get_latent(z)
        ws = truncated(w, generator.w_avg, generator.num_ws, 0.7, 4)
        image, _ = network([ws], input_is_latent=True, randomize_noise=False)
        kind = f"{'zip' if new else 'older'}, {'pSp' if prefix == 'decoder' else 'g_ema'}"
        yield (f"{kind}, {side} pixels", generator, z, w, ws), image, None


def tensorflow(folder: Path) -> Iterator[Drawn]:
    for path in sorted(folder.glob("*.npz")):
        found = np.load(path)
        generator = ours(path.with_suffix(".pkl").read_bytes(), 1 if found["classes"] else None)
        z, w, image = (torch.from_numpy(found[name]) for name in ("z", "w", "image"))
        pulled = truncated(generator.mapping(z), generator.w_avg, generator.num_ws, 0.7, 4)
        yield (path.stem, generator, z, w, pulled), image, None


STYLEGAN2 = {
    f"{architecture}, noise {noise}, clamp {clamp}": {
        "architecture": architecture,
        "conv_clamp": clamp,
        "noise_mode": noise,
    }
    for architecture, noise, clamp in (("skip", "const", None), ("resnet", "none", 256), ("orig", "const", 0.5))
}
T, R = {"num_layers": 14}, {"num_layers": 14, "conv_kernel": 1, "use_radial_filters": True}
STYLEGAN3 = {
    "T": T,
    "T, moved and turned": {**T, "rotated": True},
    "R": R,
    "R, moved and turned": {**R, "rotated": True},
}


def main(clone: Path) -> None:
    torch.set_grad_enabled(False)
    if not (clone / "training").exists() and any(clone.glob("*.npz")):
        cases = tensorflow(clone)
    elif (clone / "training" / "networks_stylegan3.py").exists():
        cases = nvidia(imported(clone, "training.networks_stylegan3"), STYLEGAN3, old=False)
    elif (clone / "training" / "networks.py").exists():
        cases = nvidia(imported(clone, "training.networks"), STYLEGAN2, old=True)
    else:
        cases = rosinality(clone)
    print("| case | w | picture |\n|---|---|---|")
    for (name, generator, z, w, ws), image, maps in cases:
        apart = (generator.mapping(z) - w).abs().max() / (w.max() - w.min())
        drawn = (generator.synthesis(ws, maps) - image).abs().max() / (image.max() - image.min())
        print(f"| {name} | {apart:.0e} | {drawn:.1e} |", flush=True)
        assert max(apart, drawn) < 1e-4


if __name__ == "__main__":
    main(Path(sys.argv[1]))
