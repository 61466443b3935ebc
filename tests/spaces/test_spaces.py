"""Each space gives ws of the right shape, gradients to its parameters, and its own way back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.assets import catalogue
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import LatentSpace
from gan_inversion.spaces import population
from gan_inversion.spaces.population import truncated
from gan_inversion.spaces.w import W
from gan_inversion.spaces.w_plus import WPlus
from gan_inversion.spaces.z import Z

SPACES = [Z(), W(), WPlus(0.0), WPlus(whitening=0.5)]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_shapes_and_gradients(space: LatentSpace, generator: Tiny) -> None:
    ws = torch.randn(2, generator.num_ws, generator.w_dim)
    parameters = space.encode(ws, generator).detach().requires_grad_()
    out = space.decode(parameters, generator)
    assert out.shape == ws.shape
    out.square().sum().backward()
    assert parameters.grad is not None
    assert (parameters.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("space", SPACES[1:], ids=repr)
def test_the_way_back(space: LatentSpace, generator: Tiny) -> None:
    ws = torch.randn(2, 1, generator.w_dim).repeat(1, generator.num_ws, 1)  # a point of W: all but Z hold it
    assert torch.allclose(space.decode(space.encode(ws, generator), generator), ws, atol=1e-5)


def test_z_finds_the_nearest_of_its_samples(generator: Tiny) -> None:
    z = torch.randn(10_000, generator.z_dim, generator=torch.Generator().manual_seed(0))[[17, 4242]]
    ws = generator.mapping(z)[:, None].repeat(1, generator.num_ws, 1)
    assert torch.equal(Z().encode(ws, generator), z)


def test_truncation_goes_to_the_mean_and_no_farther(generator: Tiny) -> None:
    statistics, w = generator.statistics(), torch.randn(3, generator.w_dim)
    assert torch.equal(truncated(w, 0.0, statistics), statistics.mean.expand(3, -1))
    assert torch.allclose(truncated(w, 1.0, statistics), w, atol=1e-6)
    own = truncated(w, torch.tensor([[0.0], [0.5], [0.25]]), statistics)  # a psi for each
    assert torch.allclose(own[1], (w[1] + statistics.mean) / 2, atol=1e-6)
    assert torch.allclose(own[2], (w[2] + 3 * statistics.mean) / 4, atol=1e-6)


def test_w_plus_keeps_rows_apart_and_w_does_not(generator: Tiny) -> None:
    ws = torch.randn(1, generator.num_ws, generator.w_dim)
    assert torch.equal(WPlus(0.0).decode(WPlus(0.0).encode(ws, generator), generator), ws)
    flat = W().decode(W().encode(ws, generator), generator)
    assert torch.equal(flat[:, 0], flat[:, -1])


def test_kept_statistics_are_those_of_their_making(
    generator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can change them is in the name of the file: how many samples, which, and by which torch."""
    monkeypatch.setattr(catalogue, "fetched_dir", lambda: tmp_path)
    first = population.cached_statistics(generator)
    monkeypatch.setattr(population, "compute_statistics", lambda _: pytest.fail("computed again"))
    assert torch.equal(population.cached_statistics(generator).mean, first.mean)
    made = []
    monkeypatch.setattr(population, "compute_statistics", lambda _: made.append(1) or first)
    for name, value in (("SAMPLES", 5000), ("SEED", 1), ("torch.__version__", "9.9")):
        with monkeypatch.context() as change:
            change.setattr(f"gan_inversion.spaces.population.{name}", value)
            population.cached_statistics(generator)
    assert len(made) == 3


def test_whitened_steps_follow_the_variance(generator: Tiny) -> None:
    """A unit step along each coordinate moves w by the standard deviation there, to the given power."""
    statistics = generator.statistics()
    space = WPlus(whitening=1.0)
    ws = statistics.mean.repeat(1, generator.num_ws, 1)
    parameters = space.encode(ws, generator)
    assert parameters.abs().max() < 1e-5
    moved = parameters.clone()
    moved[0, 0, -1] += 1  # the axis of largest variance is the last
    step = (space.decode(moved, generator) - ws)[0, 0]
    std = statistics.w_std
    assert step.norm().item() == pytest.approx((std[-1] / std.square().mean().sqrt()).item(), rel=1e-4)
