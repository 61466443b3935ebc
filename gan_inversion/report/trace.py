"""The way of an inversion as a file, a plot and a film."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save

from ..image import mark_beside
from ..inversion.trace import Trace
from .run_folder import RunFolder
from .video import write_video

COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


def save_trace(folder: RunFolder, name: str, trace: Trace, facts: Mapping[str, Any]) -> None:
    """`NAME_trace.safetensors`, `NAME_trace.png` (losses against steps) and `NAME_trace.mp4` (H.264), marked synthetic."""
    tensors = {"ws": torch.from_numpy(trace.ws)}
    tensors |= {f"loss.{key}": torch.from_numpy(values) for key, values in trace.losses.items()}
    folder.write(f"{name}_trace.safetensors", save(tensors))
    ok, png = cv2.imencode(".png", plot_losses(trace.losses)[:, :, ::-1])
    assert ok
    folder.write(f"{name}_trace.png", png.tobytes())
    write_video(folder.path(f"{name}_trace.mp4"), trace.frames)
    folder.path(f"{name}_trace.mp4.json")
    mark_beside(folder.root / f"{name}_trace.mp4", {**facts, "picture": "film of an inversion"})


def plot_losses(
    losses: Mapping[str, np.ndarray], unit: str = "steps", width: int = 900, height: int = 500
) -> np.ndarray:
    """uint8 [height, width, 3]: each loss relative to its first value, logarithmic."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    left, right, top, bottom = 70, width - 190, 30, height - 50
    curves = {}
    for name, values in losses.items():
        first = next((v for v in values if v > 0), 1.0)
        curves[name] = np.log10(np.clip(values / first, 1e-3, 1e3))
    low = min(-1.0, min(float(c.min()) for c in curves.values()))
    high = max(0.0, max(float(c.max()) for c in curves.values()))
    for power in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        line = round(bottom - (power - low) / (high - low) * (bottom - top))
        if top <= line <= bottom:
            cv2.line(canvas, (left, line), (right, line), (225, 225, 225), 1)
            draw_text(canvas, f"1e{power}", (18, line + 5))
    for (name, curve), colour in zip(curves.items(), COLOURS * 3, strict=False):
        x = np.linspace(left, right, len(curve))
        y = bottom - (curve - low) / (high - low) * (bottom - top)
        cv2.polylines(canvas, [np.stack([x, y], 1).round().astype(np.int32)], False, colour, 2, cv2.LINE_AA)
        row = top + 12 + 24 * list(curves).index(name)
        cv2.line(canvas, (right + 15, row), (right + 40, row), colour, 3)
        draw_text(canvas, name, (right + 48, row + 5))
    draw_text(
        canvas,
        f"{unit} 0 - {len(next(iter(curves.values()))) - 1}; each loss relative to its first value",
        (left, height - 18),
    )
    return canvas


def draw_text(canvas: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA)
