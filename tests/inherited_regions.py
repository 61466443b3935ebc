"""What is seen of `inherit.REGION=father|mother`: `python -m tests.inherited_regions FOLDER [COUPLES] [LATENTS ...]`.

A child of each couple at eight, and the same with each region of either parent's: how much changes in the region and
outside of it between the two, and how far the region's landmarks go from the father's to the mother's. COUPLES sampled
ones (6), and those of the files of latents, two by two. Writes regions.json and regions.png, a strip a couple.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from gan_inversion.blending.inheritance import Inherit
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.files import load_directions
from gan_inversion.editing.graft import LOOK
from gan_inversion.editing.regions import BROWS, JAW, LIPS, NOSE, REGIONS, region_masks
from gan_inversion.editing.search import draw_w
from gan_inversion.editing.steering import Steering
from gan_inversion.faces.mesh import CHIN, FOREHEAD, LEFT_EYE, RIGHT_EYE, face_mesh, find_mesh
from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.image import area_resize, save_synthetic, to_uint8
from gan_inversion.interfaces import Generator, Latents
from gan_inversion.latents import load_latents, render
from gan_inversion.runtime import configure

SEED, TILE = 2_026, 176
OUTLINES = {"eyes": BROWS[0] + BROWS[1] + RIGHT_EYE + LEFT_EYE, "nose": NOSE, "mouth": LIPS, "face_shape": JAW}


def couples(generator: Generator, count: int, files: list[str]) -> Iterator[tuple[Latents, Latents]]:
    w = draw_w(generator, 2 * count, SEED)
    faces = [Latents(one.repeat(generator.num_ws, 1)) for one in w] + [
        load_latents(file, "ws").latents for file in files
    ]
    yield from zip(faces[::2], faces[1::2], strict=True)


def landmarks(image: Tensor) -> np.ndarray:
    return find_mesh(to_uint8(area_resize(image, LOOK)), face_mesh()).points


def shape(points: np.ndarray, region: str) -> np.ndarray:
    """[M, 2]: the region's landmarks, upright, in heights of the face; those within the face about their own middle."""
    eyes = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    x = (eyes[1] - eyes[0]) / np.linalg.norm(eyes[1] - eyes[0])
    moved = points - (eyes[0] + eyes[1]) / 2
    moved = moved @ np.stack([x, [-x[1], x[0]]], 1) / np.linalg.norm(points[CHIN] - points[FOREHEAD])
    moved = moved[list(OUTLINES[region])]
    return moved - moved.mean(0) if region in ("nose", "mouth") else moved


def measure(region: str, parents: list[Tensor], extremes: list[Tensor], plain: Tensor) -> tuple[float, float, float]:
    """-> share of the way from the father's shape to the mother's; changes of 255 inside, and outside."""
    share = float("nan")
    if region in OUTLINES:
        a, b, first, second = (shape(landmarks(one), region) for one in (*parents, *extremes))
        share = float(((second - first) * (b - a)).sum() / ((b - a) ** 2).sum())
    change = 127.5 * (extremes[1] - extremes[0]).abs().mean((0, 1)).numpy()
    inside = region_masks(landmarks(plain), LOOK)[REGIONS.index(region)]
    return share, float(change[inside].mean()), float(change[~inside].mean())


def main(folder: Path, count: int, files: list[str]) -> None:
    configure(1)
    generator, rows, strips = ffhq(), {region: [] for region in REGIONS}, []
    directions, steering = (
        load_directions("directions_mobile_stylegan_ffhq", generator),
        Steering(age=8, gender="female"),
    )

    def small(face: Latents) -> Tensor:
        return area_resize(render(generator, face), LOOK)

    for number, parents in enumerate(couples(generator, count, files)):
        ws = Blend()(parents[0].ws, parents[1].ws, generator)
        child, *grown = (steering(one, "female", directions, generator)[0].latents for one in (Latents(ws), *parents))
        of_age = dict(zip(("father", "mother"), grown, strict=True))
        plain, shown = small(child), [small(one) for one in (*parents, *grown)]
        tiles = [*shown, plain]
        for region in REGIONS:
            extremes = [
                small(Inherit(**{region: who}).load(generator, False).with_regions(child, of_age, generator))
                for who in ("father", "mother")
            ]
            rows[region].append(measure(region, shown[2:], extremes, plain))
            tiles += extremes
        strips.append(np.concatenate([to_uint8(area_resize(one, TILE)) for one in tiles], 1))
        save_synthetic(folder / "regions.png", np.concatenate(strips), {"picture": "regions from either parent"})
        report = {
            region: dict(zip(("shape", "inside", "outside"), np.array(found).mean(0).round(2).tolist(), strict=True))
            for region, found in rows.items()
        }
        (folder / "regions.json").write_text(json.dumps({"couples": number + 1, **report}, indent=1))
    print((folder / "regions.json").read_text())


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 6, sys.argv[3:])
