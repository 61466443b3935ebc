"""The default recipe against the yardstick on a face whose latents are known."""

from __future__ import annotations

import pytest
import torch

from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.image import to_uint8
from gan_inversion.interfaces import AlignedFace
from gan_inversion.metrics.reconstruction import compare, evaluate
from gan_inversion.training.encoder import unexplained
from tests.composed import build_inverter, compose


@pytest.mark.weights
def test_fast_and_plain_agree_on_a_known_face() -> None:
    """Both draw the face again, and draw the same face; the fast one is no further from the true latents than the mean.

    Tolerances in LPIPS-VGG (held out): the fast one to the face 0.15, plain 0.25, one to the other 0.25; fast is no worse.
    """
    generator = ffhq()
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(11))
    mean = generator.statistics().mean
    truth = (mean + 0.7 * (generator.mapping(z) - mean)).repeat(generator.num_ws, 1)
    with torch.no_grad():
        face = AlignedFace(to_uint8(generator.synthesis(truth[None])), "known")
    found = {}
    for name, overrides in (("fast", ()), ("plain", ("experiment=plain",))):
        (found[name],) = build_inverter(compose(*overrides))([face], [0])
    quality = {name: evaluate(face, result, generator, ["lpips_vgg"])["lpips_vgg"] for name, result in found.items()}
    with torch.no_grad():
        images = [generator.synthesis(result.ws[None]) for result in found.values()]
    between = compare(*images, ["lpips_vgg"])["lpips_vgg"]
    error = unexplained(found["fast"].ws[None], truth[None], generator).item()
    error_of_mean = unexplained(mean.expand_as(truth)[None], truth[None], generator).item()
    assert quality["fast"] < 0.15
    assert quality["plain"] < 0.25
    assert quality["fast"] <= quality["plain"]
    assert between < 0.25
    assert error < error_of_mean
