"""The verbs of notebooks."""

from __future__ import annotations

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
from tests.conftest import drawn, latents


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
