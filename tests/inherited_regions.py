"""What is seen of `inherit.KEY=father|mother`: `python -m tests.inherited_regions FOLDER [COUPLES] [LATENTS ...]`.

A child of each couple at eight, and the same with each region of either parent's: how much changes in the region and
outside of it between the two, and how far the region's landmarks go from the father's to the mother's. The same of skin
(ITA, degrees) and of the hair's colour (L*): how far the reading goes from his to hers, over all couples, and how far off
it stays. COUPLES sampled ones (6), and those of the files of latents, two by two; `--only KEY ...` measures some. Writes
regions.json and regions.png, a strip a couple.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from gan_inversion.blending.colours import COLOURS, tinted, tints
from gan_inversion.blending.inheritance import Inherit
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.files import load_directions
from gan_inversion.editing.graft import LOOK
from gan_inversion.editing.regions import BROWS, JAW, LIPS, NOSE, REGIONS, brow_mask, region_masks
from gan_inversion.editing.search import draw_w
from gan_inversion.editing.steering import Steering
from gan_inversion.faces.mesh import CHIN, FOREHEAD, LEFT_EYE, RIGHT_EYE, face_mesh, find_mesh
from gan_inversion.faces.traits import read_traits
from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.image import area_resize, save_synthetic, to_uint8
from gan_inversion.interfaces import Generator, Latents
from gan_inversion.latents import load_latents, render
from gan_inversion.runtime import configure

SEED, TILE = 2_026, 176
EYES = "eyes_without_brows"
OUTLINES = {"eyes": BROWS[0] + BROWS[1] + RIGHT_EYE + LEFT_EYE, "nose": NOSE, "mouth": LIPS, "face_shape": JAW,
            "brows": BROWS[0] + BROWS[1], EYES: RIGHT_EYE + LEFT_EYE}  # fmt: skip
KEYS = (*REGIONS, "brows", EYES, *COLOURS)
READING = {"skin": "ita", "hair_colour": "hair_l"}


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
    points = landmarks(plain)
    brows, regions = brow_mask(points, LOOK), dict(zip(REGIONS, region_masks(points, LOOK), strict=False))
    inside = {**regions, "brows": brows, EYES: regions["eyes"] & ~brows}[region]
    return share, float(change[inside].mean()), float(change[~inside].mean())


def way(read: list[tuple[float, ...]]) -> dict[str, float | int]:
    """[N, 4]: readings of father, mother and both children -> share of the way over all couples; what is off; N read."""
    kept = np.array([row for row in read if np.isfinite(row).all()])
    a, b, first, second = kept.T
    share = ((second - first) * (b - a)).sum() / ((b - a) ** 2).sum()
    off = np.abs(kept[:, 2:] - kept[:, :2]).mean()
    return {"way": round(float(share), 2), "parents_apart": round(float(np.abs(b - a).mean()), 1),
            "off": round(float(off), 1), "couples_read": len(kept)}  # fmt: skip


def main(folder: Path, count: int, files: list[str], only: list[str]) -> None:
    configure(1)
    generator, rows, strips = ffhq(), {region: [] for region in only}, []
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
        colours = steering.colours_of(parents, directions, generator)
        for region in only:
            extremes = []
            for who in ("father", "mother"):
                if region in COLOURS:
                    said = tinted(colours, tints(Inherit(**{region: who}).colours, colours))
                    one = steering(Latents(ws), "female", directions, generator, said)[0].latents
                else:
                    keys = {"eyes": who, "brows": 0.5} if region == EYES else {region: who}
                    one = Inherit(**keys).load(generator, False).with_regions(child, of_age, generator)
                extremes.append(small(one))
            if region in COLOURS:
                pictures = [*shown[:2], *extremes]
                rows[region].append(tuple(getattr(read_traits(one), READING[region]) for one in pictures))
            else:
                rows[region].append(measure(region, shown[2:], extremes, plain))
            tiles += extremes
        strips.append(np.concatenate([to_uint8(area_resize(one, TILE)) for one in tiles], 1))
        save_synthetic(folder / "regions.png", np.concatenate(strips), {"picture": "regions from either parent"})
        report = {
            region: way(found)
            if region in COLOURS
            else dict(zip(("shape", "inside", "outside"), np.array(found).mean(0).round(2).tolist(), strict=True))
            for region, found in rows.items()
        }
        (folder / "regions.json").write_text(json.dumps({"couples": number + 1, **report}, indent=1))
    print((folder / "regions.json").read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("couples", type=int, nargs="?", default=6)
    parser.add_argument("latents", nargs="*")
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    main(given.folder, given.couples, given.latents, given.only)
