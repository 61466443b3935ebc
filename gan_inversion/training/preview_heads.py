"""Training of preview heads: all resolutions at once, from one pass of the generator's lower blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..estimators.lpips_network import lpips_network
from ..generators.mobile_stylegan import MobileStyleGAN
from ..generators.preview import PreviewHead
from ..image import area_resize
from ..metrics.reconstruction import compare
from .samples import SIZE, sample_ws


@dataclass(frozen=True)
class HeadLoss:
    """mean |difference| + lpips_weight * LPIPS-AlexNet, at each head's resolution, on `batch` random samples."""

    generator: MobileStyleGAN
    heads: nn.ModuleDict
    images: np.ndarray  # float16 [count, 3, 256, 256]
    seed: int  # of the samples
    batch: int
    lpips_weight: float

    def __call__(self, step: int, random: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(self.images), (self.batch,), generator=random).tolist()
        ws = torch.stack([sample_ws(self.generator, index, self.seed) for index in chosen])
        target = torch.from_numpy(self.images[chosen]).float()
        terms: dict[str, Tensor] = {}
        for resolution, image, goal in previews(self.generator, self.heads, ws, target):
            terms[f"l1_{resolution}"] = (image - goal).abs().mean()
            network = lpips_network("alex")
            distance = network.distance(network.features(image), network.features(goal))
            terms[f"lpips_{resolution}"] = distance.mean()
        weight = {"l1": 1.0, "lpips": self.lpips_weight}
        total = torch.stack([weight[name.split("_")[0]] * value for name, value in terms.items()]).sum()
        return {**terms, "total": total}


def previews(
    generator: MobileStyleGAN, heads: nn.ModuleDict, ws: Tensor, target: Tensor
) -> list[tuple[int, Tensor, Tensor]]:
    """(resolution, preview, goal) of each head; only heads get gradients."""
    resolutions = sorted(map(int, heads))
    with torch.no_grad():
        features = generator.features(ws, [resolution // 2 for resolution in resolutions])
    result = []
    for resolution, x in zip(resolutions, features, strict=True):
        head = heads[str(resolution)]
        assert isinstance(head, PreviewHead)
        result.append((resolution, head(x, ws[:, -sum(head.groups) :]), area_resize(target, resolution)))
    return result


def new_heads(generator: MobileStyleGAN, resolutions: Sequence[int], seed: int) -> nn.ModuleDict:
    """Seeded heads, scaled to the features of sixteen samples."""
    least, most = 2 * generator.constant.shape[2], min(SIZE, generator.resolution // 2)
    if len(set(resolutions)) < len(resolutions) or any(r & (r - 1) or not least < r <= most for r in resolutions):
        raise UserError(f"resolutions={list(resolutions)}: different powers of two above {least}, up to {most}.")
    sides = [resolution // 2 for resolution in sorted(resolutions)]
    ws = torch.stack([sample_ws(generator, index, seed) for index in range(16)])
    with torch.no_grad():
        parts = [generator.features(row[None], sides) for row in ws]
    heads = nn.ModuleDict()
    for i, side in enumerate(sides):
        x = torch.cat([part[i] for part in parts])
        rows = generator.num_ws - 2 * (side // generator.constant.shape[2]).bit_length() + 1
        head = PreviewHead(x.shape[3], rows, generator.w_dim)
        head.initialise(seed + i, generator.statistics(), x.square().mean((0, 1, 2)).sqrt())
        heads[str(2 * side)] = head
    return heads


def measure_heads(
    generator: MobileStyleGAN,
    heads: nn.ModuleDict,
    indices: Sequence[int],
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """PSNR (dB, peak to peak 2) and LPIPS of both backbones against the true picture, over samples never trained on."""
    sums: dict[str, float] = {}
    for index in indices:
        with torch.no_grad():
            ws = sample_ws(generator, index, seed)[None]
            target = area_resize(generator.synthesis(ws), 256)
            for resolution, image, goal in previews(generator, heads, ws, target):
                for name, value in compare(goal, image, ["psnr", "lpips_vgg", "lpips_alex"]).items():
                    sums[f"{name}_{resolution}"] = sums.get(f"{name}_{resolution}", 0.0) + value / len(indices)
        progress()
    return sums
