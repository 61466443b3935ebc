"""The verbs of notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_inversion import api
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.edits import Reading
from gan_inversion.editing.files import Directions, save_directions
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import save_photo_crop
from gan_inversion.interfaces import AlignedFace, Inversion, Latents
from gan_inversion.results import Run
from tests.conftest import Ran, drawn, latents

TINY: dict[str, object] = {  # the settings of tests/conftest.py as keywords
    "generator": "tiny",
    "aligner": "prealigned",
    "start": "mean",
    "losses": ["pixel", "delta_norm"],
    "metrics": ["mse"],
    "inversion": {"steps": 2, "require": None},
    "threads": 1,
    "aligner.check": False,
}
CHILD: dict[str, object] = {"inherit": {"path": None, "people": None}, "child": {"age": None, "gender": None}}
TYPED = ["generator=tiny", "aligner=prealigned", "start=mean", "losses=[pixel,delta_norm]", "metrics=[mse]",
         "inversion.steps=2", "inversion.require=null", "threads=1", "aligner.check=false", "inherit.path=null",
         "inherit.people=null", "child.age=null", "child.gender=null"]  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "timings.json"
    }


def test_a_family_has_the_bytes_of_its_command(run: Callable[..., Ran], couple: tuple[Path, Path]) -> None:
    """The overrides too, in the same order; only where it is written differs. And its umask is the command's alone."""
    paths = [path.rename(path.with_name(f"it's {path.name}")) for path in couple]
    run("family", f"father={paths[0]}", f"mother={paths[1]}", *TYPED, "siblings=2", "output_dir=typed", "store.path=a")
    mask = os.umask(0o022)
    try:
        called = api.family(*paths, **TINY, **CHILD, siblings=2, output_dir="called", store={"path": "b"})
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
    typed, found = contents(Path("typed")), contents(called.folder)
    assert len(found) > 10
    assert {name for name in typed | found if typed.get(name) != found.get(name)} == {"config.yaml", "overrides.yaml"}
    as_called = (
        typed["config.yaml"].replace(b"output_dir: typed", b"output_dir: called").replace(b"path: a\n", b"path: b\n")
    )
    assert as_called == found["config.yaml"]
    assert called.folder.joinpath("family.json").stat().st_mode & 0o077 == 0

    assert set(called.latents) == {"father", "mother", "child_00", "child_01"}
    assert called.summary["parents"]["mother"]["status"] == "done"
    assert called._repr_png_() == (called.folder / "contact_sheet.png").read_bytes() and called._repr_html_() is None
    again = Run(Path("typed"))
    assert again.files["child_00.png"].read_bytes() == typed["child_00.png"]


def test_children_are_those_of_the_commands(
    run: Callable[..., Ran], generator: Tiny, couple: tuple[Path, Path], tmp_path: Path
) -> None:
    """Of a family, replayed from its parents' latents: picture, marks and the shown one's."""
    made = api.family(*couple, **TINY, **CHILD, siblings=3, seed=2, output_dir="out")
    father, mother = made.latents["father"], made.latents["mother"]
    children = api.children(generator, father, mother, **CHILD, siblings_only=[2], seed=2)
    assert list(children) == ["child_02"]
    child = children["child_02"]
    assert torch.equal(child.latents.ws, made.latents["child_02"].ws)
    child.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (made.folder / "child_02.png").read_bytes()
    assert b"trainedAlgorithmicMedia" in child._repr_png_()
    seen = api.picture(generator, father)
    assert (seen.pixels == api.picture(generator, father.latents).pixels).all()
    with pytest.raises(UserError, match="output_dir: children are of the generator and the parents given"):
        api.children(generator, father, mother, output_dir="x")
    with pytest.raises(UserError, match=r"unknown key sibling.* Did you mean siblings\?"):
        api.children(generator, father, mother, sibling=3)


def test_a_walk_and_what_leaves_no_folder(run: Callable[..., Ran], couple: tuple[Path, Path]) -> None:
    made = api.family(*couple, **TINY, **CHILD, output_dir="out")
    quick = {"generator": "tiny", "threads": 1, "frames": 3, "size": 32, "equal_speed": False}
    film = api.interpolate([made], **quick, output_dir="walk")
    named = api.interpolate(["out/latents.safetensors"], **quick, output_dir="again")
    assert (film.folder / "walk.mp4").read_bytes() == (named.folder / "walk.mp4").read_bytes()
    assert "data:video/mp4;base64," in str(film._repr_html_())
    seen = api.atlas([made], generator="tiny", threads=1, samples=4, identity=False, output_dir="map")
    assert seen._repr_png_() == (seen.folder / "atlas.png").read_bytes()
    with pytest.raises(UserError, match="no command called store that leaves a folder"):
        api.run("store")
    with pytest.raises(UserError, match=r"nobody.jpg: cannot be read"):
        api.family("nobody.jpg", "mum.png", **TINY, **CHILD, output_dir="none")


def test_a_child_by_weight_or_by_recipe(generator: Tiny) -> None:
    father, mother = (Inversion(latents(generator, seed), generator.sha256) for seed in (1, 2))
    even = api.blend(generator, father, mother)
    assert even.shape == (1, 3, 64, 64)
    assert torch.equal(even, api.blend(generator, father, mother, 0.5))
    assert torch.equal(even, api.blend(generator, father, mother, recipe=Blend(0.5)))
    own = api.blend(generator, father, mother, weight=0.0)
    assert torch.equal(own, api.blend(generator, father, mother, recipe=Blend(0.0)))
    assert not torch.equal(own, even)
    with pytest.raises(UserError, match=r"weight=0.0 beside a recipe"):
        api.blend(generator, father, mother, weight=0.0, recipe=Blend(0.5))


def test_an_edit(generator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an inversion or of latents, the same; by steps and by label."""
    path = str(tmp_path / "d.safetensors")
    monkeypatch.setattr(Reading, "__call__", lambda self, image, names=(): {"yaw": 9 * image.mean().item()})
    save_directions(Path(path), Directions({"yaw": torch.ones(16)}), generator, {})
    inversion = Inversion(latents(generator, 1), generator.sha256)
    moved = api.edit(generator, inversion, {"yaw": 0.5}, path)
    assert torch.equal(moved.latents.ws, inversion.ws + 0.5)
    assert torch.equal(api.edit(generator, inversion.latents, {"yaw": 0.5}, path).latents.ws, moved.latents.ws)
    picture = api.draw(generator, moved.latents)
    assert picture.shape == (1, 3, 64, 64)
    turned = api.edit(generator, inversion, directions=path, yaw=moved.after["yaw"])
    assert turned.asked == {"yaw": moved.after["yaw"]} and turned.steps["yaw"] and not turned.raw
    with pytest.raises(UserError, match=r"hat=1: no such label. Known: age \(0 to 80 years\)"):
        api.edit(generator, inversion, hat=1)
    with pytest.raises(UserError, match="belongs to another generator"):
        api.edit(generator, Inversion(inversion.ws, "other"), {"yaw": 1.0}, path)


def test_a_face_of_another_photograph_is_not_pasted(generator: Tiny, tmp_path: Path) -> None:
    save_photo_crop(tmp_path / "a.png", drawn(generator, 1).pixels)
    face = AlignedFace(drawn(generator, 1).pixels, "b.png", "not its hash")
    with pytest.raises(UserError, match=r"a.png: b.png is of another photograph"):
        api.paste_back(
            tmp_path / "a.png", face, api.draw(generator, Latents(latents(generator, 1))), tmp_path / "c.png"
        )
