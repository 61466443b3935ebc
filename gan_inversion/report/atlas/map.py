"""The map as one picture: thumbnails where their faces lie, parents joined to their children."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..contact_sheet import FAINT, FRAME, INK, PAPER, font

WIDTH, HEIGHT, EDGE = 1600, 1200, 40  # pixels; the title and the footer stand in edges of twice this
LINE = FRAME
FAINTNESS = 0.35  # opacity of the population, whose thumbnails are also half as large
VIEW = (0.6, 0.35)  # radians: how a map of three dimensions is turned around its vertical axis, then towards the eye


def draw_map(points: Sequence[Mapping[str, Any]], thumbs: Sequence[np.ndarray], title: str, footer: str) -> np.ndarray:
    """uint8 [1200, 1600, 3]. `points` as in atlas.json; `thumbs`: uint8 [T, T, 3] each, drawn in the order of depth."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(sheet)
    flat = turned(np.array([point["coordinates"] for point in points]))
    low, high = flat[:, :2].min(0), flat[:, :2].max(0)
    margin = 2 * EDGE + len(thumbs[0]) // 2
    room = np.array([WIDTH - 2 * margin, HEIGHT - 2 * margin])
    scale = (room / np.maximum(high - low, 1e-9)).min()
    places = ((flat[:, :2] - (low + high) / 2) * (scale, -scale) + (WIDTH / 2, HEIGHT / 2)).round().astype(int)

    faces = [i for i, point in enumerate(points) if "file" in point]
    for i in sorted(set(range(len(points))) - set(faces), key=lambda i: flat[i, 2]):
        small = Image.fromarray(thumbs[i]).reduce(2)
        paper = Image.new("RGB", small.size, PAPER)
        _paste(sheet, Image.blend(paper, small, FAINTNESS), places[i])
    where = {points[i]["name"]: tuple(places[i].tolist()) for i in faces}
    for i in faces:
        for parent in points[i]["parents"]:
            pen.line([where[parent], where[points[i]["name"]]], fill=LINE, width=3)
    for i in sorted(faces, key=lambda i: flat[i, 2]):
        x, y = places[i].tolist()
        half = len(thumbs[i]) // 2
        _paste(sheet, Image.fromarray(thumbs[i]), places[i])
        pen.rectangle([x - half, y - half, x + half, y + half], outline=INK)
    for i in faces:  # over all pictures: a name under a neighbour's face could not be read
        x, y = places[i].tolist()
        place = (x, y + len(thumbs[i]) // 2 + 3)
        pen.text(place, points[i]["name"], INK, font(13), anchor="ma", stroke_width=2, stroke_fill=PAPER)
    pen.text((EDGE, EDGE), title, INK, font(20), anchor="lm")
    pen.text((EDGE, HEIGHT - EDGE), footer, FAINT, font(16), anchor="lm")
    return np.asarray(sheet)


def turned(coordinates: np.ndarray) -> np.ndarray:
    """[N, 2 or 3] -> [N, 3]: right, up, and towards the eye. Two dimensions lie in the paper."""
    if coordinates.shape[1] == 2:
        return np.pad(coordinates, ((0, 0), (0, 1)))
    (cos_y, sin_y), (cos_p, sin_p) = ((math.cos(angle), math.sin(angle)) for angle in VIEW)
    x, y, z = coordinates.T
    right, depth = cos_y * x + sin_y * z, cos_y * z - sin_y * x
    return np.stack([right, cos_p * y - sin_p * depth, sin_p * y + cos_p * depth], 1)


def _paste(sheet: Image.Image, tile: Image.Image, place: np.ndarray) -> None:
    sheet.paste(tile, (int(place[0]) - tile.width // 2, int(place[1]) - tile.height // 2))
