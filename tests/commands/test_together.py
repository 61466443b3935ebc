"""`refine.together`: one tuned copy for both parents, which draws their children too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_inversion
from gan_inversion.blending.recipes import Blend
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import load_photo, to_uint8
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.latents import load_all_latents, render
from gan_inversion.store.maintenance import contents, forget
from gan_inversion.store.store import Store
from tests.batches import make_manifest, make_photos
from tests.composed import command_of, compose, execute
from tests.conftest import CHILD, TINY, Ran, latents

Run = Callable[..., Ran]
FEW = [f"refine.{name}=0" for name in ("lpips", "identity", "sharp", "locality")]
REFINED = ["refine=weights", *FEW, "refine.previews=2", "refine.whole=3"]
TOGETHER = [*REFINED, "refine.together=true"]


def family(couple: tuple[Path, Path], *more: str) -> list[str]:
    return ["family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, "store.path=store", *more]


def summary(folder: Path) -> Any:
    return json.loads((folder / "family.json").read_text())


def test_a_family_in_one_copy(run: Run, couple: tuple[Path, Path], tmp_path: Path, generator: Tiny) -> None:
    """Parents and child carry the same copy, the pictures are drawn by it, ws are those of each alone; and again is a look
    into the store."""
    run(*family(couple, *TOGETHER, "output_dir=out", "inversion.require=warn", "metrics=[mse,identity_dlib]"))
    found = load_all_latents(tmp_path / "out/latents.safetensors")
    father, mother, child = (found[name] for name in ("father", "mother", "child_00"))
    assert father.tuning is not None and mother.tuning is not None and child.tuning is not None
    assert torch.equal(father.tuning, mother.tuning) and torch.equal(father.tuning, child.tuning)
    picture = load_photo(tmp_path / "out/child_00.png").pixels
    assert (picture == to_uint8(render(generator, child.latents))).all()
    alone = family(couple, "output_dir=alone")
    run(*alone)
    plain = load_all_latents(tmp_path / "alone/latents.safetensors")
    assert torch.equal(plain["father"].ws, father.ws) and plain["child_00"].tuning is None
    parents = [summary(tmp_path / name)["parents"]["father"] for name in ("out", "alone")]
    assert parents[0]["metrics"]["mse"]["value"] < parents[1]["metrics"]["mse"]["value"]
    assert parents[0]["store_key"] != parents[1]["store_key"]
    assert parents[0]["settings"]["refine"]["together"] is True
    before = (tmp_path / "out/latents.safetensors").read_bytes()
    again = run(*family(couple, *TOGETHER, "output_dir=out2", "inversion.require=warn", "metrics=[mse,identity_dlib]"))
    assert "taken from the store" in again.stdout
    assert (tmp_path / "out2/latents.safetensors").read_bytes() == before
    photo = load_photo(couple[1])
    assert Store(str(tmp_path / "store")).get(parents[0]["store_key"]) is not None
    store = Store(str(tmp_path / "store"))
    forget(store, contents(store), photo.sha256)
    assert store.get(parents[0]["store_key"]) is None, "made of the mother's photograph too"


def test_each_by_itself_leaves_children_alone(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, *REFINED, "output_dir=out"))
    found = load_all_latents(tmp_path / "out/latents.safetensors")
    assert found["father"].tuning is not None and found["mother"].tuning is not None
    assert not torch.equal(found["father"].tuning, found["mother"].tuning)
    assert found["child_00"].tuning is None


def test_children_of_stored_parents(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, *TOGETHER, "output_dir=out"))
    file = tmp_path / "out/latents.safetensors"
    keys = [f"father={file}", f"mother={file}", "generator=tiny", "threads=1", *CHILD]
    run("blend", *keys, "output_dir=blended")
    (child, *_) = load_all_latents(tmp_path / "blended/latents.safetensors").values()
    assert child.tuning is not None and torch.equal(child.tuning, load_all_latents(file)["father"].tuning)  # type: ignore[arg-type]


def test_in_notebooks_too(generator: Tiny) -> None:
    """`blend` draws a child by the copy that its parents share, and by the generator where they share none."""
    copies = [torch.full((2, len(generator.channel_sides)), value) for value in (0.1, 0.2)]
    a, b, c = (
        Inversion(latents(generator, seed), generator.sha256, tuning=copy)
        for seed, copy in ((1, copies[0]), (2, copies[0]), (2, copies[1]))
    )
    ws = Blend(0.5)(a.ws, b.ws, generator)
    assert torch.equal(gan_inversion.blend(generator, a, b), render(generator, Latents(ws, tuning=copies[0])))
    assert torch.equal(gan_inversion.blend(generator, a, c), render(generator, Latents(ws)))


def test_a_batch_is_its_families(run: Run, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 3)
    make_manifest(tmp_path / "couples.csv", 2, photos, seed=lambda i: i)
    run("batch", "manifest=couples.csv", "output_dir=out", "store.path=store", *TINY, *CHILD, *TOGETHER)
    for i, (a, b) in enumerate(((0, 0), (1, 1))):
        couple = tmp_path / "photos" / photos[a], tmp_path / "photos" / photos[b]
        run(*family(couple, *TOGETHER, f"output_dir=f{i}", f"seed={i}", "store.path=other"))
        files = [tmp_path / f"out/couples/c0000{i}/latents.safetensors", tmp_path / f"f{i}/latents.safetensors"]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["invert", "benchmark"])
def test_single_faces_are_not_tuned_together(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    make_photos(tmp_path / "p", 1)
    keys = ["refine=weights", "refine.together=true"]
    more = (
        [*TINY, *keys]
        if name == "invert"
        else ["+recipes.a=['refine=weights','refine.together=true']", "generator=tiny"]
    )
    values = compose("photos=[p]", *more, script=name)
    with pytest.raises(UserError, match=r"refine.together=true: one copy for both parents is for family and batch"):
        execute(values, name)


def test_the_key_is_one_of_families_too() -> None:
    assert command_of(compose("refine=weights", "refine.together=true")).refine.together is True
