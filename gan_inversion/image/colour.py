"""Colours of a picture with an ICC profile -> sRGB."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageCms

SAME = 2  # levels: a profile that moves no colour further is another writing of sRGB
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # colour space of a profile -> what it is applied to


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """RGB or CMYK -> RGB, relative colorimetric.

    A picture that was grey is RGB with equal channels here. Raises ImageCms.PyCMSError, OSError or ValueError where the
    profile is damaged, or is one of another kind of picture.
    """
    theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = MODES.get(theirs.profile.xcolor_space.strip())
    if mode is None or (mode == "CMYK") != (image.mode == "CMYK"):
        raise ValueError(f"it is of {theirs.profile.xcolor_space.strip()} pictures")
    if mode == "L" and np.ptp(np.asarray(image), axis=-1).any():
        raise ValueError("it is of grey pictures")
    transform = ImageCms.buildTransform(
        theirs, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    if mode == "RGB":
        before, after = _colours(), np.asarray(transform.apply(Image.fromarray(_colours())))
        if np.abs(before.astype(int) - after).max() <= SAME:
            return image
    return transform.apply(image.convert(mode))


@cache
def _colours() -> np.ndarray:
    """uint8 [729, 9, 3] -> nine levels of each channel: [81, 9, 3]."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(81, 9, 3)
