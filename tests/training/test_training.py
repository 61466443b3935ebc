"""Samples, augmentation and the training loop, on the tiny generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.training import samples as samples_module
from gan_inversion.training.augment import augment
from gan_inversion.training.samples import Samples, sample_ws
from gan_inversion.training.trainer import Curve, train


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
        expected = generator.synthesis(samples.ws(generator)[4:5])
    assert np.allclose(images[4], expected[0].numpy(), atol=2e-3)
    with pytest.raises(UserError, match="samples of another generator or seed"):
        samples.render(tiny(seed=1))


def test_augmentation_changes_every_picture_a_little() -> None:
    random = np.random.default_rng(0)
    image = np.zeros((64, 64, 3), np.float32)
    image[16:48, 16:48] = 0.8
    changed = [augment(image, -image, random) for _ in range(40)]
    assert all(c.shape == image.shape and c.dtype == np.float32 and np.abs(c).max() <= 1 for c in changed)
    assert sum(np.abs(c - image).max() > 0.01 for c in changed) > 36
    assert np.median([np.abs(c - image).mean() for c in changed]) < 0.3
    again = [augment(image, -image, np.random.default_rng(7)) for _ in range(2)]
    assert np.array_equal(*again)


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
