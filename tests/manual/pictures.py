"""Pictures of docs/idea.md and docs/gallery.md, of drawn faces alone; the runs of the second stand there.

python scripts/demo_photos.py output_dir=runs/photos
python scripts/invert.py photos=[runs/photos/father.jpg] trace=1 store.path=null output_dir=runs/inside
python scripts/invert.py photos=[runs/photos/father.jpg] trace=1 store.path=null output_dir=runs/free experiment=free
python -m tests.manual.pictures runs
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.edits import DEFAULT
from gan_inversion.editing.files import load_directions
from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.image import area_resize, load_photo, resized, save_synthetic_jpeg, to_tensor, to_uint8
from gan_inversion.interfaces import Generator
from gan_inversion.latents import load_all_latents
from gan_inversion.metrics.reconstruction import compare
from gan_inversion.report.contact_sheet import tiles_sheet
from gan_inversion.report.plots import FAINT, INK, new_figure
from gan_inversion.report.run_folder import provenance
from gan_inversion.spaces.p_space import REACH, draw_back, whiten
from gan_inversion.spaces.population import sample_w, truncated
from tests.conftest import ROOT

SIDE, PEOPLE = 224, (2, 7)  # pixels; seeds of the two ends of the walk
SAMPLES, STEP = 4000, 0.7  # of which the map shows one every so many deviations
NOTE = "Two directions in 512 dimensions; of 4,000 samples those nearest to a grid. Nobody lives where it is white."


def drawn(generator: Generator, ws: Tensor, side: int = SIDE) -> np.ndarray:
    """ws [L, D] -> uint8 [side, side, 3]."""
    with torch.no_grad():
        return to_uint8(area_resize(generator.synthesis(ws[None]), side))


def sample(generator: Generator, seed: int, psi: float = 0.7) -> Tensor:
    w = truncated(sample_w(generator, 1, seed)[1], psi, generator.statistics())
    return w.repeat(generator.num_ws, 1)


def save(name: str, pixels: np.ndarray, generator: Generator, what: str) -> None:
    save_synthetic_jpeg(ROOT / "docs" / name, pixels, {**provenance(generator), "picture": what})


def walk(generator: Generator) -> None:
    """Two faces mixed as pictures, and as latents."""
    a, b = (sample(generator, seed) for seed in PEOPLE)
    ends, shares = (drawn(generator, a), drawn(generator, b)), (0, 0.25, 0.5, 0.75, 1)
    mixed = [np.rint(ends[0] * (1 - share) + ends[1] * share).astype(np.uint8) for share in shares]
    walked = [drawn(generator, Blend(share, "p_lerp")(a, b, generator)) for share in shares]
    tiles = {f"pictures, {share:.0%}": one for share, one in zip(shares, mixed, strict=True)}
    tiles |= {f"latents, {share:.0%}": one for share, one in zip(shares, walked, strict=True)}
    save("walk.jpg", tiles_sheet(tiles, "synthetic faces", 5), generator, "two faces mixed as pictures and as latents")


def map_of_people(generator: Generator) -> None:
    """At each crossing of a grid the sample, of many, whose latents lie nearest to it: neighbours are alike."""
    statistics, directions = generator.statistics(), load_directions(DEFAULT, generator)
    w, axes = sample_w(generator, SAMPLES, 5)[1], []
    for name in ("gender", "age"):
        step = directions[name].double() @ statistics.p_whiten.double()
        axes.append(whiten(w, statistics) @ (step / step.norm()))
    places = torch.stack(axes, 1)
    figure, (plot,) = new_figure(9, 7, "Each face stands where its latents lie", NOTE)
    for y in np.arange(-2.1, 2.2, STEP):
        for x in np.arange(-2.8, 2.9, STEP):
            distance, index = (places - torch.tensor([x, y])).norm(dim=1).min(0)
            if distance > STEP / 4:
                continue  # nobody lives there
            with torch.no_grad():
                ws = w[index][None, None].repeat(1, generator.num_ws, 1)
                face = to_uint8(generator.synthesis(ws, resolution=128))
            half = STEP * 0.48
            plot.imshow(face, extent=(x - half, x + half, y - half, y + half), zorder=2)
    plot.set(xlim=(-3.3, 3.3), ylim=(-2.55, 2.55), aspect="equal", xlabel="along the direction of gender, deviations",
             ylabel="along the direction of age, deviations")  # fmt: skip
    save("map.jpg", pixels_of(figure), generator, "samples by age and gender")


def box(generator: Generator, runs: Path) -> None:
    """Where two inversions of one photograph went, and what is left of each inside the walls."""
    statistics = generator.statistics()
    ways = {name: load_file(runs / name / "father_trace.safetensors")["ws"] for name in ("free", "inside")}
    found = {name: load_all_latents(runs / name / "father.safetensors")["ws"].ws for name in ways}
    far = whiten(found["free"], statistics).abs().amax(0).argsort(descending=True)[:2]
    row = int(whiten(found["free"], statistics)[:, far[0]].abs().argmax())
    people = whiten(sample_w(generator, 3000, 1)[1], statistics)[:, far]
    figure, (plot,) = new_figure(7.4, 6.2, "Two searches for one face", "One row of ws, two of its 512 coordinates.")
    plot.scatter(*people.T, s=3, color=FAINT, alpha=0.4, label="3,000 people of the generator")
    plot.add_patch(_square())
    for (name, way), colour, text in zip(
        ways.items(), ("#d62728", "#2ca02c"), ("without walls", "with walls"), strict=True
    ):
        path = whiten(way[:, row], statistics)[:, far]
        plot.plot(*path.T, color=colour, linewidth=1.6, label=text)
        plot.plot(*path[-1], "o", color=colour, markersize=9)
        assert name in found
    plot.set(xlabel="deviations", ylabel="deviations")
    plot.legend(frameon=False, labelcolor=INK, loc="best")
    photo = load_photo(runs / "free" / "father.png").pixels
    tiles = {"photograph (drawn)": photo}
    for name, ws in {
        "without walls": found["free"],
        "the same, brought inside": draw_back(found["free"], statistics),
        "with walls": found["inside"],
    }.items():
        picture = drawn(generator, ws, generator.resolution)
        likeness = compare(to_tensor(photo), to_tensor(picture), ["identity_faceres"])["identity_faceres"]
        tiles[f"{name}: FaceRes {likeness:.2f}"] = picture
    faces = tiles_sheet(tiles, "synthetic faces", 2)
    plotted = Image.fromarray(pixels_of(figure))
    height = faces.shape[0]
    plotted = plotted.resize((round(plotted.width * height / plotted.height), height), Image.Resampling.LANCZOS)
    save("box.jpg", np.concatenate([np.asarray(plotted), faces], 1), generator, "two inversions of a drawn face")


def gallery(generator: Generator, runs: Path) -> None:
    """Sheets of the runs that docs/gallery.md names, as wide as a page shows them."""
    for name in ("siblings", "growing"):
        save(f"{name}.jpg", narrowed(runs / name / "contact_sheet.png", 800), generator, f"a drawn family: {name}")
    strips = [narrowed(runs / name / "strip.png", 1000) for name in ("age", "yaw")]
    save("edits.jpg", np.concatenate(strips), generator, "edits of drawn faces")


def narrowed(path: Path, width: int) -> np.ndarray:
    pixels = load_photo(path).pixels
    return resized(pixels, width, round(len(pixels) * width / pixels.shape[1]))


def _square() -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((-REACH, -REACH), 2 * REACH, 2 * REACH, fill=False, edgecolor=INK, linewidth=2, label="the walls")


def pixels_of(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer).convert("RGB"))


if __name__ == "__main__":
    network = ffhq("cpu")
    asked = sys.argv[2:] or ["walk", "map", "box", "gallery"]
    if "walk" in asked:
        walk(network)
    if "map" in asked:
        map_of_people(network)
    if "box" in asked:
        box(network, Path(sys.argv[1]))
    if "gallery" in asked:
        gallery(network, Path(sys.argv[1]))
