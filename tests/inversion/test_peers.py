"""Experiments by papers' settings: what their headers say is what their numbers do."""

from __future__ import annotations

import pytest
import torch

from gan_inversion.components import build
from gan_inversion.generators.tiny import tiny
from gan_inversion.inversion.loop import Optimiser
from gan_inversion.inversion.refinement import Features
from gan_inversion.losses.lpips import LPIPS
from gan_inversion.losses.noise import Noise
from gan_inversion.losses.pixel import Pixel
from gan_inversion.losses.prior import PNorm
from gan_inversion.spaces.w import W
from gan_inversion.spaces.w_plus import WPlus
from tests.composed import command_of, compose
from tests.conftest import drawn, make_inverter

GIVEN = {"family": [], "invert": ["photos=[x]"], "batch": ["manifest=x.csv"], "evaluate_children": ["layout=sampled"]}
VGG = LPIPS(1.0, "vgg")


def optimiser_of(experiment: str) -> Optimiser:
    found: Optimiser = build(compose(f"experiment={experiment}")["inversion"], "inversion")
    return found


@pytest.mark.parametrize("command", GIVEN)
@pytest.mark.parametrize("experiment", ["stylegan2_projector", "ii2s", "sfe"])
def test_they_compose_for_all_that_invert(command: str, experiment: str) -> None:
    """But the refinement not for children, who do not see it."""
    if (command, experiment) == ("evaluate_children", "sfe"):
        return
    values = compose(f"experiment={experiment}", *GIVEN[command], script=command)
    found = command_of(values, command)
    space, losses, refine = {
        "stylegan2_projector": (W(), {"lpips": VGG, "noise": Noise(1e5)}, None),
        "ii2s": (WPlus(0.0), {"lpips": VGG, "pixel": Pixel(1.0, sizes=(256,)), "p_norm": PNorm(1e-3)}, None),
        "sfe": (found.space, found.losses, Features()),
    }[experiment]
    assert (found.space, dict(found.losses), found.refine) == (space, losses, refine)


def test_the_projector_s_schedule() -> None:
    """NVIDIA's: rise over 5 %, fall over the last 25 %, noise of .05 times the length of w's deviation, gone at 75 %."""
    optimiser = optimiser_of("stylegan2_projector")
    assert (optimiser.steps, optimiser.noise_maps, optimiser.keep) == (1000, True, "last")
    assert optimiser.rate(0) == pytest.approx(0.1 / 50)
    assert optimiser.rate(49) == optimiser.rate(400) == optimiser.rate(750) == pytest.approx(0.1)
    assert optimiser.rate(875) == pytest.approx(0.05)
    assert all(optimiser.resolution(step) is None for step in (0, 500, 1000))
    # `latent_noise` is in root mean squares of one coordinate's deviation; theirs is the root of the sum over 512 of them.
    assert optimiser.noise_scale(0) == pytest.approx(0.05 * 512**0.5, rel=2e-3)
    assert optimiser.noise_scale(375) == pytest.approx(optimiser.noise_scale(0) / 4)
    assert optimiser.noise_scale(750) == 0


def test_ii2s_has_a_constant_rate() -> None:
    optimiser = optimiser_of("ii2s")
    assert {optimiser.rate(step) for step in range(1300)} == {0.01}
    assert not optimiser.noise_maps
    assert optimiser.betas == (0.9, 0.999)


def test_the_projector_moves_noise_maps_and_one_w() -> None:
    """With pixels in place of LPIPS, so that no weights are needed."""
    values = compose("experiment=stylegan2_projector")
    generator = tiny()
    losses = {"pixel": Pixel(), "noise": build(values["losses"]["noise"], "losses.noise")}
    inverter = make_inverter(generator, space=W(), losses=losses, steps=3, noise_maps=True, latent_noise=1.13)
    (found,) = inverter([drawn(generator, 1)], [0])
    assert torch.equal(found.ws[0], found.ws[-1])
    assert len(found.noise) == len(generator.noise_maps())
