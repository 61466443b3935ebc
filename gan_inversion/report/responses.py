"""What directions do, to be looked at: response curves, and faces along them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from torch import Tensor

from ..editing.files import Directions
from ..editing.search import draw_w
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import draw
from .trace import COLOURS, draw_text

STEPS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # deviations, of the pictures along a direction


def plot_responses(curves: Mapping[str, np.ndarray], width: int = 460, height: int = 420) -> np.ndarray:
    """uint8: for each reader, the read age of every face [N, 9] along the direction, and their mean in bold."""
    panels = []
    for colour, (name, rows) in zip(COLOURS, curves.items(), strict=False):
        canvas = np.full((height, width, 3), 255, np.uint8)
        left, right, top, bottom = 50, width - 20, 40, height - 50
        for age in range(0, 81, 20):
            y = round(bottom - age / 80 * (bottom - top))
            cv2.line(canvas, (left, y), (right, y), (225, 225, 225), 1)
            draw_text(canvas, str(age), (15, y + 5))
        x = np.linspace(left, right, rows.shape[1])
        faint = tuple(int(255 - 0.35 * (255 - c)) for c in colour)
        for row, shade, thick in [*((row, faint, 1) for row in rows), (rows.mean(0), colour, 3)]:
            y = bottom - row / 80 * (bottom - top)
            cv2.polylines(canvas, [np.stack([x, y], 1).round().astype(np.int32)], False, shade, thick, cv2.LINE_AA)
        draw_text(canvas, f"read by {name}, {len(rows)} fresh faces", (left, 24))
        draw_text(canvas, "nine equal steps, from read 8 to read 70", (left, height - 18))
        panels.append(canvas)
    return np.concatenate(panels, 1)


def strips(generator: Generator, named: Mapping[str, Tensor], seed: int, tile: int = 160) -> np.ndarray:
    """uint8: one row a direction, one sampled face at five steps along it."""
    size = min(256, generator.resolution)
    face = draw_w(generator, 1, seed)[0].repeat(generator.num_ws, 1)
    length = float(generator.statistics().w_std.square().sum().sqrt()) / len(generator.statistics().w_std) ** 0.5
    rows = []
    for name, vector in named.items():
        unit = vector / vector.norm() * length * 2  # closed forms have no scale of their own
        directions = Directions({name: unit})
        images = [draw(generator, Latents(directions.move(face, {name: step})), size) for step in STEPS]
        row = np.concatenate([to_uint8(area_resize(image, min(tile, size))) for image in images], 1)
        label = np.full((row.shape[0], 110, 3), 255, np.uint8)
        draw_text(label, name, (6, row.shape[0] // 2))
        rows.append(np.concatenate([label, row], 1))
    return np.concatenate(rows)


def png_of(pixels: np.ndarray) -> bytes:
    """uint8 RGB [H, W, 3] -> a PNG file's bytes."""
    ok, data = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    assert ok
    return data.tobytes()
