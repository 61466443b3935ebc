"""Films: of a walk through latents, and of any frames."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..blending.walk import Walk
from ..errors import UserError
from ..image import DIGITAL_SOURCE_TYPE, area_resize, mark_beside, to_uint8
from ..interfaces import Generator
from ..latents import render
from .progress import bar_of
from .run_folder import RunFolder

FPS = 12
GIF_SIDE = 320  # pixels at most


def draw_frames(generator: Generator, walk: Walk, positions: np.ndarray, size: int) -> np.ndarray:
    """The true pictures at `positions` [T], area-reduced -> uint8 [T, size, size, 3]."""
    frames = np.empty((len(positions), size, size, 3), np.uint8)
    for i, position in enumerate(bar_of("drawing", "frame")(positions)):
        frames[i] = to_uint8(area_resize(render(generator, walk.at(float(position))), size))
    return frames


def save_walk(folder: RunFolder, frames: np.ndarray, fps: int, facts: Mapping[str, Any], called: str = "walk") -> None:
    """`walk.mp4` (H.264) and `walk.gif` of frames uint8 [T, S, S, 3], S even; marked synthetic, with JSON beside them."""
    write_video(folder.path(f"{called}.mp4"), frames, fps)
    folder.write(f"{called}.gif", gif(frames, fps))
    for name in (f"{called}.mp4", f"{called}.gif"):
        folder.path(f"{name}.json")
        mark_beside(folder.root / name, {**facts, "picture": "film of a walk through latents"})


def gif(frames: np.ndarray, fps: int) -> bytes:
    """uint8 [T, S, S, 3] -> GIF that repeats, at most 320 pixels wide, one palette for all frames, so none flickers."""
    side = min(GIF_SIDE, frames.shape[2])
    small = [Image.fromarray(frame).resize((side, side), Image.Resampling.BOX) for frame in frames]
    some = small[:: max(1, len(small) // 8)]
    together = Image.fromarray(np.concatenate([np.asarray(one) for one in some]))
    palette = together.quantize(256, Image.Quantize.FASTOCTREE)  # the default, median cut, loses the red of lips
    first, *rest = [one.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for one in small]
    ticks = np.diff(np.round(np.arange(len(frames) + 1) * 100 / fps)).clip(2)  # 1/100 s; browsers slow down below 2
    buffer = io.BytesIO()
    first.save(
        buffer,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=[int(tick) * 10 for tick in ticks],
        loop=0,
        comment=f"synthetic; {DIGITAL_SOURCE_TYPE}".encode(),
    )
    return buffer.getvalue()


def write_video(path: Path, frames: np.ndarray, fps: int = FPS) -> None:
    """uint8 [T, H, W, 3] -> MP4 (H.264, which browsers play). Raises UserError if it cannot be written."""
    import imageio_ffmpeg  # here: its import looks for a binary, which runs without a film need not

    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")  # as `write_atomically` names its parts
    size = (frames.shape[2], frames.shape[1])
    marks = ["-metadata", f"comment=synthetic; {DIGITAL_SOURCE_TYPE}", "-f", "mp4"]  # a part's name does not say it
    try:
        writer = imageio_ffmpeg.write_frames(
            str(part), size, fps=fps, codec="libx264", quality=8, macro_block_size=2, output_params=marks
        )
        with closing(writer):
            writer.send(None)
            for frame in frames:
                writer.send(np.ascontiguousarray(frame))
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}).") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
