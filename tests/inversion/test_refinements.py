"""What all refinements promise, and what styles, noise maps and their settings do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.cli import CONFIGS
from gan_inversion.components import build
from gan_inversion.errors import UserError
from gan_inversion.generators.frozen import sha256_of
from gan_inversion.generators.stylegan2 import build as build_stylegan2
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import to_tensor
from gan_inversion.interfaces import Generator, Inversion
from gan_inversion.inversion.refine_noise import NoiseMaps
from gan_inversion.inversion.refine_styles import Styles, style_deviation
from gan_inversion.inversion.refine_weights import Weights
from gan_inversion.inversion.refinement import Features
from gan_inversion.inversion.refining import Refining
from gan_inversion.latents import load_latents, render, save_latents
from gan_inversion.spaces.population import sample_w
from gan_inversion.store.store import OTHERS, Record, Store
from tests.composed import compose
from tests.conftest import drawn, make_inverter
from tests.families import tiny_checkpoint

PLAIN: dict[str, Any] = {"previews": 4, "whole": 4, "lpips": 0.0, "identity": 0.0, "sharp": 0.0}  # no weights needed
ALL = [Features(side=16, **PLAIN), Styles(**PLAIN), NoiseMaps(**PLAIN, noise=0.0), Weights(**PLAIN, locality=0.0)]
FIELDS = {"features": "features", "styles": "style_offset", "noise": "noise", "weights": "tuning"}


def refined(generator: Generator, refine: Refining | None, seed: int = 1) -> Inversion:
    return make_inverter(generator, steps=2, refine=refine)([drawn(generator, seed)], [0])[0]  # type: ignore[arg-type]


def error(generator: Generator, found: Inversion, seed: int = 1) -> float:
    face = drawn(generator, seed)  # type: ignore[arg-type]
    return (render(generator, found.latents) - to_tensor(face.pixels)).square().mean().item()


def same(a: Inversion, b: Inversion) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in OTHERS] + [*zip(a.noise, b.noise, strict=True)]
    return torch.equal(a.ws, b.ws) and all(
        x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in pairs
    )


@pytest.mark.parametrize("refine", ALL, ids=lambda one: one.name)
class TestEach:
    def test_nearer_with_the_same_ws_and_a_frozen_generator(self, generator: Tiny, refine: Refining) -> None:
        before, rough = sha256_of(generator), refined(generator, None)
        found = refined(generator, refine)
        assert torch.equal(found.ws, rough.ws), "children and directions see the same latents"
        assert error(generator, found) < error(generator, rough)
        changed = {name for name in FIELDS.values() if getattr(found, name) is not None and len(getattr(found, name))}
        assert changed == {FIELDS[refine.name]}
        assert found.losses["refined_pixel"] == pytest.approx(error(generator, found), rel=0.05)
        assert sha256_of(generator) == before

    def test_a_batch_equals_its_faces(self, generator: Tiny, refine: Refining) -> None:
        inverter, faces = make_inverter(generator, steps=2, refine=refine), [drawn(generator, seed) for seed in (1, 2)]
        for together, face in zip(inverter(faces, [0, 0]), faces, strict=True):
            assert same(together, inverter([face], [0])[0])

    def test_it_is_stored_and_redrawn(self, generator: Tiny, refine: Refining, tmp_path: Path) -> None:
        found = refined(generator, refine)
        store = Store(str(tmp_path / "store"))
        store.put("ab" * 32, Record(found, {}))
        kept = store.get("ab" * 32)
        assert kept is not None
        assert same(kept.inversion, found)
        save_latents(tmp_path / "a.safetensors", {"father": found.latents}, generator.sha256)
        read = load_latents(tmp_path / "a.safetensors", "father")
        assert torch.equal(render(generator, read.latents), render(generator, found.latents))

    def test_what_was_found_before_it_stays(self, generator: Tiny, refine: Refining) -> None:
        """On top of noise maps that the search optimised."""
        face = drawn(generator, 1)
        (rough,) = make_inverter(generator, steps=2, noise_maps=True)([face], [0])
        (found,) = make_inverter(generator, steps=2, noise_maps=True, refine=refine)([face], [0])
        assert error(generator, found) < error(generator, rough)
        if refine.name != "noise":
            assert same(dataclasses.replace(found, **dict.fromkeys(OTHERS)), rough)  # type: ignore[arg-type]

    def test_nothing_better_leaves_it_as_it_was(self, generator: Tiny, refine: Refining) -> None:
        rash = dataclasses.replace(refine, learning_rate=1e4, previews=0, whole=1)
        if refine.name == "styles":
            rash = dataclasses.replace(rash, reach=None)  # type: ignore[call-arg]
        face = drawn(generator, 1)
        exact = make_inverter(generator, steps=60)  # so near that a step of any size leads away
        (rough,), (found,) = exact([face], [0]), dataclasses.replace(exact, refine=rash)([face], [0])
        assert same(rough, found)

    @pytest.mark.parametrize(
        "change",
        [
            {"previews": 2},
            {"whole": 2},
            {"learning_rate": 0.3},
            {"betas": (0.9, 0.99)},
            {"correct_every": 1},
            {"sharp": 5.0, "previews": 1},
            pytest.param({"lpips": 3.0}, marks=pytest.mark.weights),
            pytest.param({"identity": 9.0}, marks=pytest.mark.weights),
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_each_setting_moves_something(self, generator: Tiny, refine: Refining, change: dict[str, Any]) -> None:
        """Also the key. correct_every: the tiny generator's previews are the true picture made smaller, so only the key."""
        other, face = dataclasses.replace(refine, **change), drawn(generator, 1)
        keys = {make_inverter(generator, refine=one).key(face, 0) for one in (refine, other)}
        assert len(keys) == 2
        if "correct_every" not in change:
            assert not same(refined(generator, refine), refined(generator, other))

    def test_its_option_has_its_defaults(self, generator: Tiny, refine: Refining) -> None:
        assert (CONFIGS / "refine" / f"{refine.name}.yaml").is_file()
        assert build(compose(f"refine={refine.name}")["refine"], "refine") == type(refine)()


@pytest.mark.parametrize("kind", [Styles, NoiseMaps, Weights])
@pytest.mark.parametrize("change", [{"pixel": 9.0, "lpips": 1.0}], ids=str)
@pytest.mark.weights
def test_the_weight_of_pixels_counts(
    generator: Tiny, kind: type[Styles | NoiseMaps | Weights], change: dict[str, Any]
) -> None:
    """Against another loss: alone its size would not matter to Adam."""
    one = kind(**{**PLAIN, "lpips": 1.0})
    assert not same(refined(generator, one), refined(generator, dataclasses.replace(one, **change)))


def test_the_deviation_of_styles_is_that_of_samples(generator: Tiny) -> None:
    _, w = sample_w(generator)
    styles = torch.cat([generator.styles(part[:, None].expand(-1, generator.num_ws, -1)) for part in w.split(1000)])
    assert torch.allclose(style_deviation(generator), styles.std(0), rtol=1e-2, atol=1e-5)


def test_styles_stay_within_reach(generator: Tiny) -> None:
    found = refined(generator, Styles(**{**PLAIN, "learning_rate": 0.2}, reach=0.15))
    assert found.style_offset is not None
    share = (found.style_offset / style_deviation(generator)).abs()
    assert share.max().item() == pytest.approx(0.15, rel=1e-3)
    free = refined(generator, Styles(**{**PLAIN, "learning_rate": 0.2}, reach=None))
    assert not same(found, free)
    with pytest.raises(UserError, match=r"refine.reach=0"):
        Styles(reach=0.0)


def test_maps_keep_their_spread_and_the_weight_counts(generator: Tiny) -> None:
    found = refined(generator, NoiseMaps(**PLAIN, noise=0.0))
    for map_, own in zip(found.noise, generator.noise_maps(), strict=True):
        assert map_.std().item() == pytest.approx(own.std().item(), rel=1e-4)
        assert map_.mean().item() == pytest.approx(own.mean().item(), abs=1e-5)
    assert not same(found, refined(generator, NoiseMaps(**PLAIN, noise=1e-3)))
    with pytest.raises(UserError, match=r"refine.noise=-1"):
        NoiseMaps(noise=-1.0)


def test_a_generator_without_maps_is_told() -> None:
    generator = build_stylegan2(tiny_checkpoint("stylegan2", use_noise=False), "cpu", None, "face", "float32")
    found = Inversion(torch.zeros(generator.num_ws, generator.w_dim), generator.sha256)
    with pytest.raises(UserError, match="no noise maps"):
        NoiseMaps(**PLAIN).begin(generator, found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lpips": 0.0, "pixel": 0.0}, "one of them must have a weight"),
        ({"betas": (1.0, 0.9)}, "refine.betas"),
        ({"whole": 0}, "whole at least 1"),
        ({"sharp": -1.0}, "must not be negative"),
        ({"learning_rate": 0.0}, r"refine.learning_rate must be above 0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Styles(**change)
