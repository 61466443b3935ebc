"""The map as a page for the browser: one file that needs no network and may not use one, and the run folder around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...image import SYNTHETIC, area_resize, mark_beside, to_tensor, to_uint8
from ...runtime import versions
from ..pages import data_uri, fill
from ..run_folder import RunFolder, footer_of
from .map import FAINTNESS, VIEW, draw_map

METHODS = {"pca": "principal axes of whitened W", "umap": "UMAP of whitened W"}


def save_atlas(
    folder: RunFolder,
    points: Sequence[Mapping[str, Any]],
    pictures: Sequence[np.ndarray],
    explained: Sequence[float],
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Path:
    """Write atlas.png, atlas.html and, last, atlas.json; returns the page's path.

    `points` as `evaluation.atlas.describe_points` gives them, `pictures` uint8 [R, R, 3] each; `explained`: share of
    the faces' variance on each axis, or nothing. Of `settings`: "method" and "thumbnail", pixels.
    """
    thumbs = [to_uint8(area_resize(to_tensor(picture), settings["thumbnail"])) for picture in pictures]
    title = describe(points, settings["method"], explained)
    footer = footer_of(facts)
    folder.synthetic("atlas.png", draw_map(points, thumbs, title, footer), {**facts, "picture": "atlas"})
    text = page(points, thumbs, pictures, explained, {**SYNTHETIC, **facts}, title, footer)
    folder.write("atlas.html", text.encode())
    folder.path("atlas.html.json")
    mark_beside(folder.root / "atlas.html", {**facts, "picture": "atlas"})
    document = {"points": list(points), "explained_variance": list(explained), "settings": dict(settings)}
    folder.finish("atlas.json", {**facts, **document, "versions": versions()})
    return folder.root / "atlas.html"


def describe(points: Sequence[Mapping[str, Any]], method: str, explained: Sequence[float]) -> str:
    """One line: how many of what, and where they stand."""
    faces = sum("file" in point for point in points)
    shares = f" ({sum(explained):.0%} of the faces' variance)" if explained else ""
    return f"{faces} stored faces, {len(points) - faces} samples; {METHODS[method]}{shares}"


def page(
    points: Sequence[Mapping[str, Any]],
    thumbs: Sequence[np.ndarray],
    pictures: Sequence[np.ndarray],
    explained: Sequence[float],
    facts: Mapping[str, Any],
    title: str,
    footer: str,
) -> str:
    """The whole page. Names come from file names and files of others, so they are escaped wherever they go."""
    data = {
        "points": points,
        "pictures": [data_uri(picture) for picture in pictures],
        "explained": explained,
        "facts": facts,
        "view": VIEW,
        "faintness": FAINTNESS,
    }
    return fill("atlas.html", title=title, footer=footer, thumbs=[data_uri(thumb) for thumb in thumbs], data=data)
