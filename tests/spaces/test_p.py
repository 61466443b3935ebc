"""Space p: its walls, its round trip, and an inversion that stays within them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.inversion.starts import Mean
from gan_inversion.losses.prior import p_norm
from gan_inversion.spaces.p import P
from gan_inversion.spaces.p_space import draw_back, is_inside, whiten
from gan_inversion.spaces.population import sample_w
from gan_inversion.spaces.w_plus import WPlus
from tests.conftest import drawn, make_inverter, real


def ws_of(generator: Tiny, scale: float) -> torch.Tensor:
    """ws whose whitened coordinates are normal, times `scale`."""
    coordinates = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(3)) * scale
    return P().decode(coordinates, generator)


def test_what_is_inside_comes_back(generator: Tiny) -> None:
    ws = ws_of(generator, 0.8)
    space = P(reach=4.0)
    assert torch.allclose(space.decode(space.encode(ws, generator), generator), ws, atol=1e-4)


def test_what_is_outside_is_brought_to_the_wall(generator: Tiny) -> None:
    space = P(reach=1.5)
    parameters = space.encode(ws_of(generator, 10.0), generator)
    assert parameters.abs().max() == 1.5
    assert whiten(space.decode(parameters, generator), generator.statistics()).abs().max() <= 1.5 * 1.01
    parameters.add_(1.0)
    space.project(parameters)
    assert parameters.abs().max() <= 1.5


def test_gradients_pass(generator: Tiny) -> None:
    parameters = torch.zeros(1, generator.num_ws, generator.w_dim, requires_grad=True)
    P().decode(parameters, generator).square().sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.abs().min() > 0


def test_an_inversion_stays_inside(generator: Tiny) -> None:
    """However large the steps: p lets nothing out, w_plus does."""
    face = drawn(generator, 1)
    rash = {"learning_rate": 2.0, "start": Mean()}
    inside = make_inverter(generator, space=P(reach=0.7), **rash)([face], [0])[0].ws
    outside = make_inverter(generator, space=WPlus(), **rash)([face], [0])[0].ws
    assert whiten(inside, generator.statistics()).abs().max() <= 0.7 * 1.01
    assert whiten(outside, generator.statistics()).abs().max() > 0.7
    assert p_norm(inside[None], generator.statistics()).item() <= 0.5


def test_a_batch_equals_its_faces(generator: Tiny) -> None:
    inverter = make_inverter(generator, space=P(), previews=(32,), previews_until=(0.5,), correct_every=2)
    faces = [drawn(generator, seed) for seed in (1, 2)]
    together = inverter(faces, [0, 0])
    alone = [inverter([face], [0])[0] for face in faces]
    assert all(torch.equal(a.ws, b.ws) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("reach", [0.0, -1.0, float("nan")])
def test_no_room_is_an_error(reach: float) -> None:
    with pytest.raises(UserError, match=r"space.reach"):
        P(reach)


def test_outside_is_where_drawing_back_moves_much(generator: Tiny) -> None:
    """By more than a deviation in some row, root mean square: not where one coordinate of a sample lies farther out."""
    statistics = generator.statistics()
    coordinates = torch.zeros(4, 16)
    coordinates[1, 3] = 6.9  # 3.9 squared, of 16
    ws = P(reach=99.0).decode(coordinates, generator)
    assert is_inside(ws, statistics)
    assert not torch.allclose(draw_back(ws, statistics), ws)
    coordinates[1, 3] = 7.1
    assert not is_inside(P(reach=99.0).decode(coordinates, generator), statistics)
    assert is_inside(P().decode(torch.full((4, 16), 9.0).clamp(-3, 3), generator), statistics)


@pytest.mark.weights
def test_what_the_generator_draws_is_inside() -> None:
    """Though two of three samples have a coordinate beyond three deviations."""
    statistics, w = real().statistics(), sample_w(real(), 300, 7)[1]
    assert is_inside(w, statistics)
    beyond = (whiten(w, statistics).abs() > 3.03).any(-1).float().mean().item()
    assert 0.5 < beyond < 0.8
    assert not is_inside(statistics.mean + 3 * (w - statistics.mean), statistics)


@pytest.mark.weights
def test_whoever_asks_first_the_way_back_has_the_same_bits() -> None:
    """On more threads LAPACK splits its sums in other places."""
    made = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made.append(dataclasses.replace(real().statistics()).p_colour)
        assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    assert torch.equal(*made)
