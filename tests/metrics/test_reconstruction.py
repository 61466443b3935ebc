"""The numbers of the report, by hand, and their status."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from gan_inversion.losses.lpips import LPIPS
from gan_inversion.losses.pixel import Pixel
from gan_inversion.metrics.reconstruction import METRICS, compare, evaluate, report
from tests.conftest import drawn, latents


def test_psnr_uses_peak_to_peak_two() -> None:
    """Off by 51 of 255 everywhere: a fifth of the range, MSE 0.16, PSNR 10 log10(4 / 0.16)."""
    a, b = (torch.full((1, 3, 64, 64), level / 127.5 - 1) for level in (100, 151))
    values = compare(a, b, ["mse", "psnr"])
    assert values["mse"] == pytest.approx(0.16)
    assert values["psnr"] == pytest.approx(13.979, abs=0.001)
    assert compare(a, a, ["psnr"])["psnr"] == pytest.approx(100)


def test_pictures_are_compared_as_saved() -> None:
    """Clamped and rounded first: what 8 bits cannot hold is no difference."""
    a = torch.full((1, 3, 64, 64), 1.0)
    assert compare(a, a + 0.7, ["mse"])["mse"] == 0
    assert compare(a * 0, a * 0 + 0.001, ["mse"])["mse"] == 0


def test_the_truth_is_perfect(generator: Tiny) -> None:
    inversion = Inversion(latents(generator, 2), generator.sha256)
    values = evaluate(drawn(generator, 2), inversion, generator, ["mse", "ms_ssim", "p_norm", "delta_norm"])
    assert values["mse"] < 1e-9
    assert values["ms_ssim"] == pytest.approx(1.0)
    assert values["delta_norm"] < 1e-9
    assert 0.2 < values["p_norm"] < 3


def test_status_follows_the_losses() -> None:
    values = {"lpips_alex": 0.1, "lpips_vgg": 0.2, "mse": 0.3, "ms_ssim": 0.9}
    rows = report(values, {*LPIPS(backbone="alex").optimised_metrics, *Pixel().optimised_metrics})
    assert {name: row["status"] for name, row in rows.items()} == {
        "lpips_alex": "optimised", "lpips_vgg": "held out", "mse": "optimised", "ms_ssim": "held out",
    }  # fmt: skip
    assert report(values, LPIPS(backbone="vgg").optimised_metrics)["lpips_vgg"]["status"] == "optimised"
    assert rows["lpips_vgg"]["value"] == 0.2


def test_unknown_metrics_are_refused(generator: Tiny) -> None:
    with pytest.raises(UserError, match=r"unknown fid. Known: lpips_vgg"):
        evaluate(drawn(generator, 2), Inversion(latents(generator, 2), ""), generator, ["fid"])


@pytest.mark.weights
def test_every_metric_is_a_finite_number(generator: Tiny) -> None:
    inversion = Inversion(latents(generator, 3), generator.sha256)
    values = evaluate(drawn(generator, 2), inversion, generator, METRICS)
    assert list(values) == list(METRICS)
    assert np.isfinite(list(values.values())).all()
    assert values["lpips_vgg"] != values["lpips_alex"] > 0
