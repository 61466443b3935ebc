"""The way of an inversion: losses and latents of every step, small pictures of some; as a file, a plot and a film."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save

from ..image import DIGITAL_SOURCE_TYPE, area_resize, mark_beside, to_uint8
from ..interfaces import OnStep, Step, UserError
from .run_folder import RunFolder

FRAME = 256  # pixels
FPS = 12
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


@dataclass(frozen=True)
class Trace:
    losses: Mapping[str, np.ndarray]  # name -> [steps]
    ws: np.ndarray  # [steps, L, D] float32
    frames: np.ndarray  # uint8 [frames, 256, 256, 3], every so many steps


class Recorder:
    """An `on_step` that remembers, and passes on."""

    def __init__(self, every: int, then: OnStep) -> None:
        self.every, self.then = every, then
        self._losses: dict[int, list[dict[str, float]]] = {}
        self._ws: dict[int, list[np.ndarray]] = {}
        self._frames: dict[int, list[np.ndarray]] = {}

    def __call__(self, step: Step) -> None:
        self._losses.setdefault(step.face, []).append(dict(step.losses))
        self._ws.setdefault(step.face, []).append(step.ws[0].cpu().numpy())
        if step.step % self.every == 0 or step.step == step.steps:
            small = area_resize(step.image, FRAME)  # early steps may be smaller previews
            self._frames.setdefault(step.face, []).append(to_uint8(small))
        self.then(step)

    def trace(self, face: int) -> Trace:
        losses = self._losses[face]
        columns = {name: np.array([row[name] for row in losses]) for name in losses[0]}
        return Trace(columns, np.stack(self._ws[face]), np.stack(self._frames[face]))


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


def write_video(path: Path, frames: np.ndarray, fps: int = FPS) -> None:
    """uint8 [T, H, W, 3] -> MP4 (H.264, which browsers play). Raises UserError if it cannot be written."""
    import imageio_ffmpeg  # here: its import looks for a binary, which runs without a film need not

    part = path.with_name(f".{path.stem}.part.mp4")
    try:
        size = (frames.shape[2], frames.shape[1])
        marks = ["-metadata", f"comment=synthetic; {DIGITAL_SOURCE_TYPE}"]
        writer = imageio_ffmpeg.write_frames(
            str(part), size, fps=fps, codec="libx264", quality=8, macro_block_size=2, output_params=marks
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error}).") from error
