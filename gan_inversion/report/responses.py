"""What directions do, to be looked at: response curves, and faces along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch import Tensor

from ..editing.files import Directions
from ..editing.search import draw_w
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render
from .plots import COLOURS, INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # deviations, of the pictures along a direction


def plot_responses(curves: Mapping[str, np.ndarray]) -> Figure:
    """A panel a reader: the read age of every face [N, 9] along the direction, and their mean in bold."""
    note = "equal steps, from where what steers reads 8 years to where it reads 70"
    figure, panels = new_figure(
        4.6 * len(curves) + 0.4, 4.8, "age along its direction", note, 1, len(curves), sharey=True
    )
    for axes, colour, (name, rows) in zip(panels, cycle(COLOURS), curves.items(), strict=False):
        steps = np.arange(1, rows.shape[1] + 1)
        for row in rows:
            axes.plot(steps, row, color=colour, linewidth=0.8, alpha=0.35)
        axes.lines[0].set_label("one face")
        axes.plot(steps, rows.mean(0), color=INK, linewidth=2.5, label="mean")
        axes.set_title(f"read by {name}, {len(rows)} fresh faces", loc="left", fontsize=10)
        axes.set(xlabel="step along the direction", xticks=steps, ylim=(0, 85))
        axes.legend(loc="upper left", frameon=False)
    panels[0].set_ylabel("read age, years")
    return figure


def strips(generator: Generator, named: Mapping[str, Tensor], seed: int, tile: int = 160) -> np.ndarray:
    """uint8: one row a direction, one sampled face at five steps along it."""
    face = draw_w(generator, 1, seed)[0].repeat(generator.num_ws, 1)
    length = float(generator.statistics().w_std.square().sum().sqrt()) / len(generator.statistics().w_std) ** 0.5
    scaled = {name: vector / vector.norm() * length * 2 for name, vector in named.items()}  # closed forms have no scale
    return rows_along(generator, Directions(scaled), face, STEPS, tile)


def rows_along(
    generator: Generator, directions: Directions, face: Tensor, steps: Sequence[float], tile: int = 160
) -> np.ndarray:
    """uint8: one row a direction, the face of ws [L, D] at each of `steps` along it."""
    size, rows = min(256, generator.resolution), []
    for name in directions.vectors:
        images = [render(generator, Latents(directions.move(face, {name: step})), size) for step in steps]
        row = np.concatenate([to_uint8(area_resize(image, min(tile, size))) for image in images], 1)
        label = np.full((row.shape[0], 110, 3), 255, np.uint8)
        cv2.putText(label, name, (6, len(row) // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA)
        rows.append(np.concatenate([label, row], 1))
    return np.concatenate(rows)
