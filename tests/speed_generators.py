"""Seconds of a generator's forward and backward pass to ws, beside the code it comes from and its bare convolutions.

    python -m tests.speed_generators stylegan2 --reference CLONE_OF_STYLEGAN2_ADA_PYTORCH

The three take turns in one process, with the same threads and memory settings; medians and quartiles are printed. The bare
convolutions are those of the same shapes with constant weights, forward and backward to their input, and nothing else:
what no rearrangement around them can save.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion.generators import stylegan2
from gan_inversion.runtime import configure
from tests.seeded import stylegan2 as seeded_stylegan2

Run = Callable[[], object]


@dataclass(frozen=True)
class Family:
    """What is timed of one family: each makes a function that runs forward and backward once."""

    ours: Callable[[int], Run]  # of the resolution
    reference: Callable[[int], Run]  # imports the reference, whose folder is on sys.path by then
    bare: Callable[[int], Run]


CONFIG_F: dict[str, Any] = {"channel_base": 32768, "channel_max": 512, "w_dim": 512, "z_dim": 512, "layers": 8}


def to_ws(synthesis: Callable[[Tensor], Tensor], num_ws: int) -> Run:
    """Forward and backward of a sum to ws [1, num_ws, 512]."""
    ws = torch.randn(1, num_ws, 512, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def run() -> Tensor:
        return torch.autograd.grad(synthesis(ws).sum(), ws)[0]

    return run


def stylegan2_ours(resolution: int) -> Run:
    generator = stylegan2.build(seeded_stylegan2(resolution, 0, **CONFIG_F))
    return to_ws(generator.synthesis, generator.num_ws)


def stylegan2_reference(resolution: int) -> Run:
    from training.networks import Generator  # type: ignore[import-not-found]

    channels = {"channel_base": 32768, "channel_max": 512}
    generator = Generator(512, 0, 512, resolution, 3, synthesis_kwargs=channels).eval().requires_grad_(False)
    generator.load_state_dict(seeded_stylegan2(resolution, 0, **CONFIG_F).state, strict=True)
    return to_ws(lambda ws: generator.synthesis(ws, noise_mode="const"), generator.num_ws)


def stylegan2_bare(resolution: int) -> Run:
    """Each 3x3 convolution, channels-last: transposed with stride 2 where it upsamples."""
    jobs = []
    for name, shape in {n: t.shape for n, t in seeded_stylegan2(resolution, 0, **CONFIG_F).state.items()}.items():
        if name.endswith(("conv0.weight", "conv1.weight")):
            up, side = "conv0" in name, int(name.split(".")[1][1:])
            weight = torch.randn(shape).contiguous(memory_format=torch.channels_last)
            if up:
                weight, side = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last), side // 2
            x = torch.randn(1, shape[1], side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
            jobs.append((up, x, weight))

    def run() -> None:
        for up, x, weight in jobs:
            y = F.conv_transpose2d(x, weight, stride=2) if up else F.conv2d(x, weight, padding=1)
            torch.autograd.grad(y, x, y.detach())

    return run


FAMILIES = {"stylegan2": Family(stylegan2_ours, stylegan2_reference, stylegan2_bare)}


def measure(runs: dict[str, Run], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each, taking turns; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--reference", help="folder of the original code; without it, it is left out")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    configure(options.threads)
    family = FAMILIES[options.family]
    runs = {"ours": family.ours(options.resolution), "bare convolutions": family.bare(options.resolution)}
    if options.reference:
        sys.path.append(options.reference)
        runs["reference"] = family.reference(options.resolution)
    found = measure(runs, options.rounds)
    print(f"{options.family} {options.resolution}, {options.threads} threads, torch {torch.__version__}")
    print("| | median, s | quartiles | ours is, times |")
    print("|---|---|---|---|")
    for name, seconds in found.items():
        low, median, high = np.percentile(seconds, [25, 50, 75])
        ratio = np.median(found["ours"] / seconds)  # of each round, as the machine's speed changes between rounds
        print(f"| {name} | {median:.2f} | {low:.2f} to {high:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
