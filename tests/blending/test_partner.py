"""A guessed parent has what the child is known to have from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_inversion.commands.partner import Partner
from gan_inversion.editing import graft
from gan_inversion.editing.graft import grafted
from gan_inversion.editing.search import draw_w
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Generator, Latents
from gan_inversion.latents import save_latents
from tests.composed import command_of, compose
from tests.conftest import CHILD, Ran, latents, real

GIVEN = ("of_child=in.safetensors:child", "parent=in.safetensors:known")


def partner_of(*keys: str) -> Partner:
    command: Partner = command_of(compose(*GIVEN, *keys, script="partner"), "partner")
    return command


@pytest.mark.parametrize("region", ["eyes", "brows", "nose", "mouth", "face_shape", "hair"])
def test_what_a_child_has_from_the_guessed_one(region: str) -> None:
    command = partner_of(f"inherit.{region}=0.75")
    assert command.taken("mother")[0] == {region: 0.5}
    taken, told = command.taken("father")
    assert taken == {}
    assert told["regions_from_the_known_parent"] == [region]
    assert partner_of().taken("mother") == ({}, {})
    with pytest.raises(UserError, match=f"inherit.{region}: 'aunt' is neither father, nor mother"):
        partner_of(f"inherit.{region}=aunt")


def test_what_cannot_be_taken_over(run: Callable[..., Ran], tmp_path: Path, generator: Tiny) -> None:
    faces = {name: Latents(latents(generator, seed)) for seed, name in enumerate(("child", "known"))}
    save_latents(tmp_path / "in.safetensors", faces, generator.sha256)
    done = run("partner", *GIVEN, "generator=tiny", "threads=1", *CHILD[2:], "inherit.nose=mother", code=1)
    assert "inherit.nose: regions are taken over in faces of 256 pixels and more" in done.stderr


@pytest.mark.weights
def test_her_nose_is_the_child_s_own(run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the script: one region is from whoever is guessed, the other from the known parent."""
    monkeypatch.setattr(graft, "STEPS", 8)
    asked: list[tuple[list[str], bool]] = []

    def spy(face: Latents, parts: dict[str, tuple[Latents, float]], generator: Generator) -> Latents:
        found = grafted(face, parts, generator)
        asked.append((list(parts), torch.equal(found.ws, face.ws)))
        return found

    monkeypatch.setattr("gan_inversion.commands.partner.grafted", spy)
    generator = real()
    ws = [w.repeat(generator.num_ws, 1) for w in draw_w(generator, 2, 11)]
    faces = {"known": Latents(ws[0]), "child": Latents((ws[0] + ws[1]) / 2)}
    save_latents(tmp_path / "in.safetensors", faces, generator.sha256)
    quick = ["samples=1", "threads=1", "child.search=2", "child.scene=null", "child.gender=null", "child.tolerance=60"]
    done = run("partner", *GIVEN, *quick, "inherit.nose=mother", "inherit.mouth=father", "output_dir=out")
    told = json.loads((tmp_path / "out/children.json").read_text())["children"]["partner_00"]
    taken, other = ("nose", "mouth") if told["guessed"] == "mother" else ("mouth", "nose")
    assert asked == [([taken], False)]
    assert told["regions_of_the_child"] == {taken: 1.0}
    assert told["regions_from_the_known_parent"] == [other]
    assert f"the {told['guessed']} is guessed" in done.stdout + done.stderr
