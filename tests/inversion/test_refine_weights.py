"""Pivotal tuning: a copy of the generator that is small, near the generator elsewhere, and one for two faces if asked."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.frozen import sha256_of
from gan_inversion.generators.mobile_stylegan import MobileStyleGAN
from gan_inversion.generators.stylegan2 import build as build_stylegan2
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import area_resize, to_tensor
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.inversion.refine_weights import Weights, nearby
from gan_inversion.latents import check_shape, hash_of_latents, load_latents, render, save_latents
from gan_inversion.spaces.population import sample_w
from tests.conftest import drawn, latents, make_inverter, real
from tests.families import tiny_checkpoint

PLAIN: dict[str, Any] = {"previews": 4, "whole": 4, "lpips": 0.0, "identity": 0.0, "sharp": 0.0, "locality": 0.0}


def refined(generator: Tiny, refine: Weights, seed: int = 1) -> Inversion:
    return make_inverter(generator, steps=2, refine=refine)([drawn(generator, seed)], [0])[0]


def random_tuning(generator: Tiny) -> torch.Tensor:
    return torch.randn(2, len(generator.channel_sides), generator=torch.Generator().manual_seed(0)) * 0.1


def test_a_tuned_copy_is_a_generator_with_other_weights(generator: Tiny) -> None:
    """What `tuning` draws is what a generator whose tensors were changed so draws; the own tensors stay."""
    tuning, before, ws = random_tuning(generator), sha256_of(generator), latents(generator, 1)[None]
    other: MobileStyleGAN = copy.deepcopy(generator)
    layers = [layer for _, layer in other._layers()]
    widths = [len(layer.bias) for layer in layers]
    with torch.no_grad():
        for layer, (gain, shift) in zip(layers, tuning.split(widths, dim=1), strict=True):
            weight = layer.pointwise if hasattr(layer, "pointwise") else layer.weight
            layer.bias += shift * layer.bias.square().mean().sqrt()
            weight *= (1 + gain).view(-1, 1, 1, 1)
        mine, theirs = generator.synthesis(ws, tuning=tuning), other.synthesis(ws)
        assert torch.allclose(mine, theirs, atol=1e-5)
        assert not torch.allclose(mine, generator.synthesis(ws), atol=1e-2)
        assert torch.equal(generator.synthesis(ws, tuning=torch.zeros_like(tuning)), generator.synthesis(ws))
    assert sha256_of(generator) == before


def test_gradients_of_a_copy_are_right(generator: Tiny) -> None:
    """Against differences, through all layers."""
    tuning, ws = random_tuning(generator).requires_grad_(), latents(generator, 1)[None]
    way = torch.randn(tuning.shape, generator=torch.Generator().manual_seed(1))

    def loss(at: torch.Tensor) -> torch.Tensor:
        return generator.synthesis(ws, tuning=at).square().mean()

    (gradient,) = torch.autograd.grad(loss(tuning), [tuning])
    with torch.no_grad():
        slope = (loss(tuning + 1e-3 * way) - loss(tuning - 1e-3 * way)) / 2e-3
    assert (gradient * way).sum().item() == pytest.approx(slope.item(), rel=2e-2)
    assert bool((gradient != 0).any(0).all()), "each channel counts"


def test_only_the_chosen_layers_move(generator: Tiny) -> None:
    found = refined(generator, Weights(**PLAIN, sides=(16, 32)))
    assert found.tuning is not None
    moves = (found.tuning != 0).any(0)
    assert set(generator.channel_sides[moves].tolist()) == {16, 32}
    with pytest.raises(UserError, match=r"refine.sides=\[7\]: the layers of this generator are \[4, 8, 16, 32, 64\]"):
        Weights(**PLAIN, sides=(7,)).begin(generator, found)


def test_a_file_tells_it_and_a_hash_knows_it(generator: Tiny, tmp_path: Path) -> None:
    tuned = Latents(latents(generator, 1), tuning=random_tuning(generator))
    assert hash_of_latents(tuned) != hash_of_latents(dataclasses.replace(tuned, tuning=None))
    save_latents(tmp_path / "a.safetensors", {"ws": tuned}, generator.sha256)
    read = load_latents(tmp_path / "a.safetensors", "ws").latents
    assert hash_of_latents(read) == hash_of_latents(tuned)
    check_shape(read, generator, "x")
    with pytest.raises(UserError, match="x: their tuned copy is not one of tiny"):
        check_shape(dataclasses.replace(tuned, tuning=torch.zeros(2, 3)), generator, "x")


def test_faces_nearby(generator: Tiny) -> None:
    ws, w = latents(generator, 1)[None], generator.mapping(torch.ones(1, generator.z_dim))
    there = nearby(ws, w, 0.5)
    assert (there - ws).norm().item() == pytest.approx(0.5, rel=1e-4)
    assert torch.allclose(nearby(ws, w, (w[:, None] - ws).norm().item()), w[:, None].expand_as(ws), atol=1e-4)


@pytest.mark.weights
def test_locality_keeps_others_as_they_were(generator: Tiny) -> None:
    """With the weight other faces are drawn more as before; the distance counts; neither matters where the other is off."""
    settings = {**PLAIN, "learning_rate": 0.05}
    free, near, far = (
        refined(generator, Weights(**{**settings, "locality": weight, "alpha": alpha}))
        for weight, alpha in ((0.0, 3.0), (5.0, 3.0), (5.0, 9.0))
    )
    _, w = sample_w(generator)
    others = w[:8, None].expand(-1, generator.num_ws, -1)

    def moved(found: Inversion) -> float:
        with torch.no_grad():
            difference = generator.synthesis(others, tuning=found.tuning) - generator.synthesis(others)
        return difference.square().mean().item()

    assert moved(near) < 0.9 * moved(free)
    assert near.tuning is not None and far.tuning is not None
    assert not torch.equal(near.tuning, far.tuning)
    assert "refined_locality" not in near.losses, "it says nothing of the picture"


def test_the_key_names_what_matters(generator: Tiny) -> None:
    face = drawn(generator, 1)

    def key(**more: Any) -> str:
        return make_inverter(generator, refine=Weights(**{**PLAIN, **more})).key(face, 0)

    assert len({key(), key(sides=(8,)), key(locality=0.2), key(locality=0.2, alpha=9.0)}) == 4
    assert key(alpha=9.0) == key(), "the distance of nothing"


@pytest.mark.parametrize(
    ("change", "message"), [({"locality": -1.0}, "refine.locality"), ({"alpha": 0.0}, "refine.alpha")]
)
def test_settings_that_cannot_be(change: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Weights(**{**PLAIN, **change})


def test_a_generator_that_cannot() -> None:
    other = build_stylegan2(tiny_checkpoint("stylegan2"), "cpu", None, "face", "float32")
    with pytest.raises(UserError, match="this generator cannot be tuned"):
        Weights().begin(other, Inversion(torch.zeros(other.num_ws, other.w_dim), other.sha256))
    with pytest.raises(ValueError, match="cannot be tuned"):
        other.synthesis(torch.zeros(1, other.num_ws, other.w_dim), tuning=torch.zeros(2, 1))


class TestTogether:
    def inverter(self, generator: Tiny) -> Any:
        return make_inverter(generator, steps=2, refine=Weights(**PLAIN, together=True))

    def test_one_copy_for_both(self, generator: Tiny) -> None:
        """Each keeps its ws, both are nearer, the order of the two changes no bit, and the generator is as it was."""
        faces, inverter, before = (
            [drawn(generator, seed) for seed in (1, 2)],
            self.inverter(generator),
            sha256_of(generator),
        )
        alone = inverter(faces, [0, 0])
        assert [one.tuning for one in alone] == [None, None], "a face by itself has none"
        both = inverter.tune(faces, alone)
        assert torch.equal(both[0].tuning, both[1].tuning)
        errors = [
            [
                (render(generator, one.latents) - to_tensor(face.pixels)).square().mean().item()
                for one, face in zip(found, faces, strict=True)
            ]
            for found in (alone, both)
        ]
        assert sum(errors[1]) < sum(errors[0])
        assert all(torch.equal(a.ws, b.ws) for a, b in zip(alone, both, strict=True))
        turned = inverter.tune(faces[::-1], alone[::-1])
        assert torch.equal(turned[0].tuning, both[0].tuning)
        assert both[0].settings["refine"]["together"] is True
        assert sha256_of(generator) == before

    def test_a_face_s_own_key_knows_nothing_of_it(self, generator: Tiny) -> None:
        face, plain = drawn(generator, 1), make_inverter(generator, steps=2)
        assert self.inverter(generator).key(face, 0) == plain.key(face, 0), "inverted once, whomever it marries"

    def test_the_keys_of_a_couple_know_both(self, generator: Tiny) -> None:
        inverter = self.inverter(generator)
        a, b = inverter.keys_of_couple(["a", "b"])
        assert a != b
        assert inverter.keys_of_couple(["b", "a"]) == [b, a]
        assert inverter.keys_of_couple(["a", "c"])[0] != a
        other = dataclasses.replace(inverter, refine=Weights(**{**PLAIN, "whole": 5}, together=True))
        assert other.keys_of_couple(["a", "b"])[0] != a

    def test_every_step_is_told(self, generator: Tiny) -> None:
        faces, inverter, told = [drawn(generator, seed) for seed in (1, 2)], self.inverter(generator), []
        inverter.tune(faces, inverter(faces, [0, 0], told.append), told.append)
        for face in (0, 1):
            assert [step.step for step in told if step.face == face] == list(range(inverter.steps + 1))

    def test_interrupted_is_marked(self, generator: Tiny) -> None:
        faces, inverter = [drawn(generator, seed) for seed in (1, 2)], self.inverter(generator)

        def stop(step: Any) -> None:
            raise KeyboardInterrupt

        both = inverter.tune(faces, inverter(faces, [0, 0]), stop)
        assert [one.stopped for one in both] == ["interrupted"] * 2
        assert [one.tuning for one in both] == [None, None]


@pytest.mark.weights
def test_on_the_real_generator() -> None:
    """A few steps: nearer, its own tensors the same bits, and a copy of 44 kB."""
    generator = real()
    assert len(generator.channel_sides) == 5516
    before, seed = sha256_of(generator), torch.Generator().manual_seed(3)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, generator.z_dim, generator=seed))[:, None].expand(
            -1, generator.num_ws, -1
        )
        target = generator.synthesis(torch.lerp(ws[:1], ws[1:], 0.1))
    found = Inversion(ws[0].clone(), generator.sha256)
    nearer = Weights(
        previews=2, whole=2, lpips=0.0, identity=0.0, sharp=0.0
    )  # what is compared below is what it goes by
    tuned = nearer(generator, target, found, lambda step: None)
    assert tuned.tuning is not None
    off, before_it = (
        (area_resize(render(generator, one.latents) - target, 256)).square().mean() for one in (tuned, found)
    )
    assert off < before_it
    assert sha256_of(generator) == before
