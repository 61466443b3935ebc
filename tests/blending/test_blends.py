"""Which parent a row comes from, along which path, and that a sibling is nobody's but its own."""

from __future__ import annotations

import logging

import pytest
import torch

from gan_inversion.blending.inheritance import children
from gan_inversion.blending.interpolation import MIXES, lerp, p_lerp, slerp
from gan_inversion.blending.recipes import Blend, Crossover, PerLayer, Ramp, Recipe, check_parents
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from gan_inversion.losses.prior import p_norm


@pytest.fixture
def parents(generator: Tiny) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return tuple(torch.randn(generator.num_ws, generator.w_dim, generator=random) for _ in range(2))


def test_lerp_by_hand() -> None:
    father, mother = torch.zeros(3, 2), torch.ones(3, 2)
    out = lerp(father, mother, torch.tensor([0.0, 0.25, 1.0]), torch.zeros(2))
    assert out[:, 0].tolist() == [0, 0.25, 1]


def test_slerp_by_hand() -> None:
    """Halfway on a quarter circle around (1, 1): at 45 degrees, same distance from the centre."""
    centre = torch.tensor([1.0, 1.0])
    father, mother = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 3.0]])
    out = slerp(father, mother, torch.tensor([0.5]), centre)
    assert torch.allclose(out, centre + 2**0.5)
    longer = slerp(father, torch.tensor([[1.0, 5.0]]), torch.tensor([0.5]), centre)
    assert (longer - centre).norm().item() == pytest.approx(3.0)  # lengths 2 and 4


def test_p_lerp_by_hand() -> None:
    """Positive numbers as in lerp; from -1 to 1 half of the way is P's (-5 + 1) / 2 = -2, which is -0.4."""
    out = p_lerp(torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 1.0]]), torch.tensor([0.5]), torch.zeros(2))
    assert torch.allclose(out, torch.tensor([[2.0, -0.4]]))


def test_p_lerp_keeps_samples_plausible(generator: Tiny) -> None:
    """What the path is for: between two samples of W the line in P stays nearer to the samples than the line in W."""
    w = generator.mapping(torch.randn(200, generator.z_dim, generator=torch.Generator().manual_seed(1)))
    father, mother, half = w[:100], w[100:], torch.full((100,), 0.5)
    distances = [
        p_norm(mix(father, mother, half, torch.zeros(16))[:, None], generator.statistics()).mean()
        for mix in (p_lerp, lerp)
    ]
    assert distances[0] < min(1.0, float(distances[1]))


def test_slerp_of_parallel_and_equal_rows_is_straight() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 2.0]])
    b = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [2.0, 2.0]])
    out = slerp(a, b, torch.full((3,), 0.5), torch.zeros(2))
    assert torch.allclose(out, (a + b) / 2)


@pytest.mark.parametrize(
    "blend", [Blend(), Ramp(), Blend(path="slerp"), Crossover(), PerLayer(layer_weights=(0.3,) * 8)]
)
def test_a_parent_blended_with_itself_stays(blend: Recipe, generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    assert torch.allclose(blend(parents[0], parents[0], generator), parents[0], atol=1e-5)


@pytest.mark.parametrize("path", MIXES)
def test_ends_are_the_parents(path: str, generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    father, mother = parents
    assert torch.allclose(Blend(0.0, path)(father, mother, generator), father, atol=1e-5)
    assert torch.allclose(Blend(1.0, path)(father, mother, generator), mother, atol=1e-5)
    middle = Blend(0.5, path)(father, mother, generator)
    assert torch.allclose(middle, Blend(0.5, path)(mother, father, generator), atol=1e-5)


def test_crossover_takes_rows_from_whom_it_says(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    father, mother = parents
    child = Crossover(coarse="mother", middle=0.25, fine="father")(father, mother, generator)
    assert torch.equal(child[:4], father[:4] + 1.0 * (mother - father)[:4])
    assert torch.allclose(child[4:8], father[4:8] + 0.25 * (mother - father)[4:8])
    rows = Crossover(coarse="father", middle="mother", fine=0.75).weights(16)
    assert rows.tolist() == [0.0] * 4 + [1.0] * 4 + [0.75] * 8
    with pytest.raises(UserError, match="'aunt' is neither father, nor mother"):
        Crossover(coarse="aunt").weights(8)


def test_per_layer(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    weights = tuple(i / 7 for i in range(8))
    child = PerLayer(layer_weights=weights)(*parents, generator)
    for row, weight in enumerate(weights):
        assert torch.allclose(child[row], (1 - weight) * parents[0][row] + weight * parents[1][row], atol=1e-5)
    with pytest.raises(UserError, match="has 2 numbers; this generator has 8 rows"):
        PerLayer(layer_weights=(0.1, 0.2))(*parents, generator)


def test_weights_beyond_the_parents_warn(
    generator: Tiny, parents: tuple[torch.Tensor, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        child = Blend(1.5, path="lerp")(*parents, generator)
    assert "may look implausible" in caplog.text
    assert torch.allclose(child, parents[0] + 1.5 * (parents[1] - parents[0]))
    caplog.clear()
    Blend(1.0)(*parents, generator)
    assert caplog.text == ""


def test_a_recipe_that_does_not_fit_is_refused_before_any_work() -> None:
    for recipe, message in (
        (Blend(path="zigzag"), r"blend.path=zigzag: choose one of lerp, slerp"),
        (PerLayer(layer_weights=(0.1, 0.2)), "has 2 numbers; this generator has 16 rows"),
        (Crossover(fine="aunt"), "'aunt' is neither"),
    ):
        with pytest.raises(UserError, match=message):
            children(recipe, 2, None, 0, 1.0, 16)


def test_ramp_by_hand() -> None:
    """BabyGAN's (k / L) ** power."""
    assert Ramp(power=2.0).weights(4).tolist() == [0, 1 / 16, 1 / 4, 9 / 16]


def test_other_generators_latents_are_refused(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    ours, foreign = Inversion(parents[0], generator.sha256), Inversion(parents[1], "f" * 64)
    check_parents(ours, ours, generator)
    with pytest.raises(UserError, match="the mother's latents belong to another generator"):
        check_parents(ours, foreign, generator)
