"""Where the optimiser begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import to_tensor
from gan_inversion.interfaces import Latents
from gan_inversion.inversion.starts import BestOf, FromInversion, Mean
from gan_inversion.latents import save_latents
from tests.conftest import drawn, make_inverter


def test_mean(generator: Tiny) -> None:
    ws = Mean()(generator, to_tensor(drawn(generator, 1).pixels), "a", 0)
    assert torch.equal(ws[0, 3], generator.statistics().mean)


def test_best_of_is_the_best_of_its_samples(generator: Tiny) -> None:
    target = to_tensor(drawn(generator, 1).pixels)
    start = BestOf(samples=8, psi=0.8, near="pixel")
    chosen = start(generator, target, "a", 5)
    z = torch.randn(8, generator.z_dim, generator=torch.Generator().manual_seed(5))
    mean = generator.statistics().mean
    w = mean + 0.8 * (generator.mapping(z) - mean)
    errors = [(generator.synthesis(x.repeat(1, generator.num_ws, 1)) - target).square().mean() for x in w]
    assert torch.allclose(chosen[0, 0], w[int(torch.stack(errors).argmin())], atol=1e-6)
    assert not torch.equal(chosen, start(generator, target, "a", 6))
    assert (start.optimised_metrics, BestOf().optimised_metrics) == (("mse", "psnr"), ("lpips_alex",))
    with pytest.raises(UserError, match=r"start.near=ssim"):
        BestOf(near="ssim")


@pytest.mark.weights
def test_best_of_by_lpips_finds_itself(generator: Tiny) -> None:
    """The target is among the samples, so it is the one chosen."""
    z = torch.randn(4, generator.z_dim, generator=torch.Generator().manual_seed(2))
    w = generator.mapping(z)[2]
    target = generator.synthesis(w.repeat(1, generator.num_ws, 1))
    chosen = BestOf(samples=4, psi=1.0)(generator, target, "a", 2)
    assert torch.allclose(chosen[0, 0], w, atol=1e-5)


def test_from_inversion_goes_on_from_stored_latents(generator: Tiny, tmp_path: Path) -> None:
    face = drawn(generator, 1, "father")
    (first,) = make_inverter(generator)([face], [0])
    path = tmp_path / "latents.safetensors"
    save_latents(path, {"father": first.latents, "mother": Latents(first.ws * 0)}, generator.sha256)
    inverter = make_inverter(generator, start=FromInversion(str(path)), steps=0)
    (second,) = inverter([face], [0])
    assert torch.equal(second.ws, first.ws)
    key = inverter.key(face, 0)
    save_latents(path, {"father": Latents(first.ws + 0.1)}, generator.sha256)
    assert make_inverter(generator, start=FromInversion(str(path)), steps=0).key(face, 0) != key


def test_from_inversion_names_its_file(generator: Tiny, tmp_path: Path) -> None:
    target = to_tensor(drawn(generator, 1).pixels)
    with pytest.raises(UserError, match=r"nothing: not a file of stored latents"):
        FromInversion("nothing")(generator, target, "father", 0)
    path = tmp_path / "a.safetensors"
    save_latents(path, {"ws": Latents(torch.zeros(8, 16))}, "f" * 64)
    with pytest.raises(UserError, match="belong to another generator"):
        FromInversion(str(path))(generator, target, "father", 0)
    save_latents(path, {"child": Latents(torch.zeros(8, 16))}, generator.sha256)
    with pytest.raises(UserError, match="no latents called father; it has child"):
        FromInversion(str(path))(generator, target, "father", 0)
