"""The default recipe against the yardstick on a face whose latents are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gan_inversion.image import to_uint8
from gan_inversion.interfaces import AlignedFace
from gan_inversion.metrics.reconstruction import compare, evaluate
from gan_inversion.training.encoder import unexplained
from tests.composed import build_inverter, compose
from tests.conftest import real

GOLDEN = Path(__file__).parents[1] / "golden" / "plain_known.safetensors"  # ws that the plain recipe finds of that face
pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def truth() -> Tensor:
    """ws [16, 512] of the known face."""
    generator = real()
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(11))
    mean = generator.statistics().mean
    return (mean + 0.7 * (generator.mapping(z) - mean)).repeat(generator.num_ws, 1)


@pytest.fixture(scope="module")
def face(truth: Tensor) -> AlignedFace:
    return AlignedFace(to_uint8(drawn(truth)), "known")


def drawn(ws: Tensor) -> Tensor:
    with torch.no_grad():
        image: Tensor = real().synthesis(ws[None])
    return image


def test_fast_and_plain_agree_on_a_known_face(face: AlignedFace, truth: Tensor) -> None:
    """Both draw the face again, and draw the same face; the fast one is no further from the true latents than the mean.

    What plain finds is kept: its recipe is frozen. Tolerances in LPIPS-VGG (held out): the fast one to the face 0.15,
    plain 0.25, one to the other 0.25; fast is no worse.
    """
    generator, mean = real(), real().statistics().mean
    (fast,) = build_inverter(compose())([face], [0])
    plain = load_file(GOLDEN)["ws"]
    quality = {
        "fast": evaluate(face, fast, generator, ["lpips_vgg"])["lpips_vgg"],
        "plain": compare(drawn(truth), drawn(plain), ["lpips_vgg"])["lpips_vgg"],
    }
    between = compare(drawn(fast.ws), drawn(plain), ["lpips_vgg"])["lpips_vgg"]
    error = unexplained(fast.ws[None], truth[None], generator).item()
    error_of_mean = unexplained(mean.expand_as(truth)[None], truth[None], generator).item()
    assert quality["fast"] < 0.15
    assert quality["plain"] < 0.25
    assert quality["fast"] <= quality["plain"]
    assert between < 0.25
    assert error < error_of_mean


@pytest.mark.rerun
def test_plain_finds_again_what_is_kept_of_it(face: AlignedFace) -> None:
    """All its steps at 1024 pixels. Another processor rounds otherwise: the same picture, if not the same bits."""
    (plain,) = build_inverter(compose("experiment=plain"))([face], [0])
    kept = load_file(GOLDEN)["ws"]
    assert evaluate(face, plain, real(), ["lpips_vgg"])["lpips_vgg"] < 0.25
    assert compare(drawn(plain.ws), drawn(kept), ["lpips_vgg"])["lpips_vgg"] < 0.05
    assert (plain.ws - kept).norm() < 0.1 * (kept - real().statistics().mean).norm()
