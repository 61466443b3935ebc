"""Photographs for generators of other things than faces: the middle, as their datasets were cropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import UserError
from ..image import Photo, resized
from ..interfaces import AlignedFace


@dataclass(frozen=True)
class CentreCrop:
    """`aligner=centre`: the largest square in the middle; what every generator gets whose domain is not "face"."""

    name: ClassVar[str] = "centre"

    size: int = 0

    def __call__(self, photo: Photo, name: str, face: int | None = None, preview: Path | None = None) -> AlignedFace:
        """Raises UserError if a face number is given."""
        if face is not None:
            raise UserError(f"{photo.name}: face={face}, but this generator draws no faces, and none are looked for.")
        height, width = photo.pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = photo.pixels[top : top + side, left : left + side]
        square = resized(square, self.size, self.size)
        remarks: tuple[str, ...] = ()
        if side / photo.reduced < self.size / 4:
            remarks = (f"{photo.name}: only {side / photo.reduced:.0f} pixels a side; the inversion will be blurred.",)
        quad = np.array([[left, top], [left, top + side], [left + side, top + side], [left + side, top]]) - 0.5
        corners = tuple((float(x), float(y)) for x, y in quad / photo.reduced)
        return AlignedFace(np.ascontiguousarray(square), name, photo.sha256, corners, remarks)
