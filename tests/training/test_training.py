"""Samples, changed pictures and the training loop, on the tiny generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.spaces.p import P
from gan_inversion.training import samples as samples_module
from gan_inversion.training.degrade import Dice, alter, blur, degrade, jpeg
from gan_inversion.training.samples import Samples, sample_ws
from gan_inversion.training.trainer import Curve, train
from gan_inversion.training.views import draw_coordinates, fresh_views


def test_samples_depend_on_nothing_but_their_number(generator: Tiny) -> None:
    assert torch.equal(sample_ws(generator, 3, 0), sample_ws(generator, 3, 0))
    assert not torch.equal(sample_ws(generator, 3, 0), sample_ws(generator, 5, 0))
    assert not torch.equal(sample_ws(generator, 3, 0), sample_ws(generator, 3, 1))


def test_even_samples_are_in_w_and_odd_ones_in_w_plus(generator: Tiny) -> None:
    for index in range(6):
        rows = sample_ws(generator, index, 0)
        assert rows.shape == (generator.num_ws, generator.w_dim)
        assert torch.allclose(rows, rows[:1].expand_as(rows)) == (index % 2 == 0)


def test_rendering_goes_on_where_it_stopped(generator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_module, "SHARD", 2)
    samples = Samples(tmp_path / "a", 5, 0)

    def stop(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        samples.render(generator, stop)
    first = (tmp_path / "a" / "000000.npy").stat().st_mtime_ns
    seen: list[int] = []
    samples.render(generator, seen.append)
    assert (tmp_path / "a" / "000000.npy").stat().st_mtime_ns == first
    assert seen[-1] == 5
    images = samples.images()
    assert images.shape == (5, 3, 64, 64)
    with torch.no_grad():
        expected = generator.synthesis(sample_ws(generator, 4, 0)[None])
    assert np.allclose(images[4], expected[0].numpy(), atol=2e-3)
    with pytest.raises(UserError, match="samples of another generator or seed"):
        samples.render(tiny(seed=1))


def square(count: int) -> Tensor:
    image = torch.zeros(count, 3, 64, 64)
    image[:, :, 16:48, 16:48] = 0.8
    return image


def test_degrading_changes_most_pictures_a_little() -> None:
    image = square(40)
    changed = degrade(image, Dice(40, image.device, 0))
    assert changed.shape == image.shape
    assert changed.abs().max() < 1.001
    off = (changed - image).abs()
    assert (off.amax((1, 2, 3)) > 0.01).sum() > 20
    assert off.mean((1, 2, 3)).median() < 0.1
    assert torch.equal(changed, degrade(image, Dice(40, image.device, 0)))
    assert not torch.equal(changed, degrade(image, Dice(40, image.device, 1)))


def test_altering_goes_by_its_amount() -> None:
    image = square(20)
    amounts = torch.tensor([0.0, 0.3, 1.0])
    off = [
        (alter(image, Dice(20, image.device, 0), a.expand(20, 1, 1, 1)) - image).abs().mean().item() for a in amounts
    ]
    assert off[0] < 1e-5 < off[1] < off[2] < 0.5


def test_jpeg_loses_more_at_low_quality_and_blur_keeps_the_mean() -> None:
    image = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    low, high = ((jpeg(image, torch.full((4,), q)) - image).square().mean() for q in (20.0, 95.0))
    assert high < low
    grey = image.mean(1, keepdim=True).expand(
        -1, 3, -1, -1
    )  # without colours, whose halved side is lost at any quality
    assert (jpeg(grey, torch.full((4,), 95.0)) - grey).abs().max() < 0.1
    assert blur(image, torch.full((4,), 4.0)).mean().item() == pytest.approx(image.mean().item(), abs=0.02)


def test_drawn_coordinates(generator: Tiny) -> None:
    """Within the walls; the generator's own have a P-norm of about one, the far ones more; one seed, one draw."""
    found, far = draw_coordinates(generator, 200, torch.Generator().manual_seed(0))
    assert found.shape == (200, generator.num_ws, generator.w_dim)
    assert found.abs().max() < 3
    assert 0.25 < far.float().mean() < 0.55
    norm = found.square().mean((1, 2))
    assert norm[~far].mean() < 1.2 < norm[far].mean() < 4
    assert torch.equal(found, draw_coordinates(generator, 200, torch.Generator().manual_seed(0))[0])


def test_known_views_draw_their_goal(generator: Tiny) -> None:
    views = fresh_views(generator, 12, torch.Generator().manual_seed(1))
    assert 0 < views.known.sum() < 12
    drawn = generator.synthesis(P().decode(views.coordinates, generator)).clamp(-1, 1)
    off = (drawn - views.goal).abs().amax((1, 2, 3))
    assert off[views.known == 1].max() < 1e-4
    assert views.seen.shape == views.goal.shape == (12, 3, 64, 64)


def fit(folder: Path, steps: int, fail_at: int = -1, rate: float = 0.05) -> tuple[nn.Linear, Curve]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss(step: int, random: torch.Generator) -> dict[str, Tensor]:
        if step == fail_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 3, generator=random)
        return {"total": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    return model, train(model, loss, steps, rate, 0, folder, {"rate": rate}, checkpoint_every=4)


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole, curve = fit(tmp_path / "whole", 200)
    assert curve[-1]["total"] < 0.5 * curve[0]["total"]
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", 200, fail_at=118)
    resumed, again = fit(tmp_path / "killed", 200)
    assert torch.equal(whole.weight, resumed.weight)
    assert again == curve
    with pytest.raises(UserError, match="belongs to a training with other settings"):
        fit(tmp_path / "killed", 200, rate=0.1)


def test_a_loss_that_explodes_is_an_error(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(UserError, match="the loss became nan at step 0"):
        train(model, lambda step, random: {"total": model.weight.sum() * torch.nan}, 2, 0.1, 0, tmp_path, {})
