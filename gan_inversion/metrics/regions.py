"""Does a region that is inherited change where it should? Mean absolute change inside its mask against outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..blending.inheritance import style_offset
from ..blending.recipes import Blend
from ..editing.files import Regions
from ..editing.regions import REGIONS
from ..editing.search import draw_w
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render

SHOWN, TILE = 4, 192  # couples in the picture, pixels


def check_regions(generator: Generator, regions: Regions, couples: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Sampled couples, whose even blend takes one region from the mother. -> {"inside", "ratio"}, and a picture.

    ratio: mean over couples of (change inside) / (change outside), by the fixed mask of the average aligned face.
    """
    w = draw_w(generator, 2 * couples, seed)
    size = min(256, generator.resolution)
    fixed = area_resize((regions.masks[None] > 0.5).float(), size)[0] > 0.5
    rows: dict[str, list[tuple[float, float]]] = {region: [] for region in REGIONS}
    sheet = []
    for i in range(couples):
        father, mother = (one.repeat(generator.num_ws, 1) for one in w[2 * i : 2 * i + 2])
        ws = Blend(0.5)(father, mother, generator)
        even = area_resize(render(generator, Latents(ws)), size)
        tiles = [*(area_resize(render(generator, Latents(parent)), size) for parent in (father, mother)), even]
        for k, region in enumerate(REGIONS):
            offset = style_offset(ws, father, mother, {region: torch.ones(len(ws))}, regions, generator)
            image = area_resize(render(generator, Latents(ws, offset)), size)
            rows[region].append(inside_and_ratio(even, image, fixed[k]))
            tiles.append(image)
        if i < SHOWN:
            sheet.append(np.concatenate([to_uint8(area_resize(t, min(TILE, size))) for t in tiles], 1))
    means = {region: np.array(pairs).mean(0).tolist() for region, pairs in rows.items()}
    report = {"inside": {r: m[0] for r, m in means.items()}, "ratio": {r: m[1] for r, m in means.items()}}
    return report, np.concatenate(sheet)


def inside_and_ratio(before: Tensor, after: Tensor, mask: Tensor) -> tuple[float, float]:
    """Images [1, 3, H, W], mask [H, W] -> mean absolute change inside, and that over the one outside."""
    change = (after - before).abs().mean((0, 1)).cpu()
    inside, outside = change[mask].mean(), change[~mask].mean()
    return float(inside), float(inside / outside.clamp_min(torch.finfo(torch.float32).tiny))
