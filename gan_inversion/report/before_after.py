"""Two or more pictures of one face over each other, with a line to be dragged: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..image import mark_beside, resized
from .atlas.page import data_uri
from .pages import fill
from .run_folder import RunFolder, footer_of

LARGEST = 1400  # pixels of the longer side


def save_before_after(
    folder: RunFolder, name: str, title: str, pictures: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """`NAME`, an HTML file of pictures uint8 [H, W, 3] of one size, by caption; the first is what was before."""
    shown = [(caption, data_uri(fitted(picture))) for caption, picture in pictures.items()]
    text = fill("before_after.html", title=title, pictures=shown, footer=footer_of(facts))
    folder.write(name, text.encode())
    folder.path(f"{name}.json")
    mark_beside(folder.root / name, {**facts, "picture": "before and after"})


def fitted(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], at most LARGEST pixels wide and high."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    return resized(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
