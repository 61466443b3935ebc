"""How fast StyleGAN3 is beside NVIDIA's own CPU path and beside its bare convolutions.

    python -m tests.speed_stylegan3 --reference PATH_TO_A_CLONE_OF_NVlabs_stylegan3

One picture forward, and backward to ws; both in turn, so that a busy machine slows both; medians. The same random weights.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion import runtime
from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.generators.stylegan3 import build

RADIAL = {"conv_kernel": 1, "use_radial_filters": True}


def reference_generator(clone: Path, resolution: int, options: dict[str, Any]) -> Any:
    """NVIDIA's network; its code asks pkg_resources, which newer setuptools lack, for nothing but a comparison."""
    if importlib.util.find_spec("pkg_resources") is None:
        stub = types.ModuleType("pkg_resources")
        stub.parse_version = lambda text: tuple(int(part) for part in text.split("a")[0].split("+")[0].split("."))  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stub
    sys.path.insert(0, str(clone))
    networks = importlib.import_module("training.networks_stylegan3")
    torch.manual_seed(0)
    return networks.Generator(512, 0, 512, resolution, 3, **options).eval().requires_grad_(False)


def step(synthesis: Callable[[Tensor], Tensor], ws: Tensor) -> tuple[float, float, Tensor]:
    """Seconds forward, seconds backward, the image."""
    ws = ws.clone().requires_grad_()
    start = time.perf_counter()
    image = synthesis(ws)
    middle = time.perf_counter()
    torch.autograd.grad(image.square().mean(), ws)
    return middle - start, time.perf_counter() - middle, image.detach()


@torch.no_grad()
def bare_convolutions(generator: Any) -> tuple[float, float]:
    """Seconds of the convolutions alone: forward, and the gradient of their inputs."""
    network, seconds = generator.network, [0.0, 0.0]
    size = network.settings.sizes[0]
    for name in network.names:
        layer = getattr(network, name)
        padding = layer.weight.shape[-1] - 1
        x = torch.randn(1, layer.weight.shape[1], size, size)
        start = time.perf_counter()
        y = F.conv2d(x, layer.weight, padding=padding)
        middle = time.perf_counter()
        F.conv_transpose2d(y, layer.weight, padding=padding)
        seconds[0] += middle - start
        seconds[1] += time.perf_counter() - middle
        size = layer.size
    return seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--radial", action="store_true", help="-R in place of -T")
    arguments = parser.parse_args()
    runtime.configure(arguments.threads)
    factor = 2 if arguments.radial else 1
    options = {"channel_base": 32768 * factor, "channel_max": 512 * factor, **(RADIAL if arguments.radial else {})}
    reference = reference_generator(arguments.reference, arguments.resolution, options)
    ours = build(Checkpoint("stylegan3", reference.state_dict(), options))
    ws = torch.randn(1, ours.num_ws, 512)
    bare_convolutions(ours)  # warm
    rows: dict[str, list[tuple[float, float]]] = {"ours": [], "reference": [], "bare convolutions": []}
    for _ in range(arguments.repeats):
        *seconds, image = step(ours.synthesis, ws)
        rows["ours"].append((seconds[0], seconds[1]))
        rows["bare convolutions"].append(bare_convolutions(ours))
        *seconds, expected = step(reference.synthesis, ws)
        rows["reference"].append((seconds[0], seconds[1]))
    medians = {name: [statistics.median(part) for part in zip(*found, strict=True)] for name, found in rows.items()}
    for name, (forward, backward) in medians.items():
        print(f"{name:18} forward {forward:7.2f} s  backward {backward:7.2f} s  sum {forward + backward:7.2f} s")
    for name in ("reference", "bare convolutions"):
        print(f"ours / {name}: {sum(medians['ours']) / sum(medians[name]):.2f}")
    print(f"difference / range: {float((image - expected).abs().max() / (expected.max() - expected.min())):.1e}")


if __name__ == "__main__":
    main()
