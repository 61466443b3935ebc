"""The middle of a picture, for generators of other things than faces."""

from __future__ import annotations

import numpy as np
import pytest

from gan_inversion.commands.common import fitting
from gan_inversion.errors import UserError
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.faces.centre import CentreCrop
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import Photo


def picture(height: int, width: int) -> Photo:
    """Its colour is where it is: red by row, green by column."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(height)[:, None], np.arange(width)
    return Photo(pixels, "cat.jpg", "0")


@pytest.mark.parametrize(("height", "width", "top", "left"), [(64, 100, 0, 18), (100, 64, 18, 0), (64, 64, 0, 0)])
def test_the_middle_square(height: int, width: int, top: int, left: int) -> None:
    face = CentreCrop(64)(picture(height, width), "cat")
    assert (face.pixels[:, 0, 0] == np.arange(top, top + 64)).all()
    assert (face.pixels[0, :, 1] == np.arange(left, left + 64)).all()
    assert face.quad[0] == (left - 0.5, top - 0.5)
    assert face.quad[2] == (left + 63.5, top + 63.5)


def test_sizes_and_remarks() -> None:
    assert CentreCrop(32)(picture(200, 240), "cat").pixels.shape == (32, 32, 3)
    assert not CentreCrop(32)(picture(200, 240), "cat").warnings
    (remark,) = CentreCrop(512)(picture(64, 80), "cat").warnings
    assert remark == "cat.jpg: only 64 pixels a side; the inversion will be blurred."


def test_no_faces_to_choose_from() -> None:
    with pytest.raises(UserError, match=r"cat.jpg: face=1, but this generator draws no faces"):
        CentreCrop(32)(picture(40, 40), "cat", 1)


def test_the_domain_decides(generator: Tiny) -> None:
    aligner, other = FFHQ(min_side=50), tiny()
    assert fitting(aligner, generator) == FFHQ(64, min_side=50)
    other.domain = "other"
    assert fitting(aligner, other) == CentreCrop(64)
    assert fitting(FFHQ(128, min_side=50), other) == CentreCrop(128)
