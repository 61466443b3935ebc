"""The way of an inversion as a file, a plot and a film; and as events of TensorBoard."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from ..errors import UserError
from ..faces.masks import mask_of
from ..image import mark_beside, synthetic_bytes, to_tensor, to_uint8
from ..interfaces import Loss
from ..inversion.trace import Trace
from .plots import COLOURS, legend_beside, new_figure, plain_numbers, png_of
from .run_folder import RunFolder
from .video import write_video

if TYPE_CHECKING:
    from matplotlib.figure import Figure


VEIL = 0.3  # how much of the photograph is left where no masked loss looks


def save_trace(folder: RunFolder, name: str, trace: Trace, facts: Mapping[str, Any]) -> None:
    """`NAME_trace.safetensors`, `NAME_trace.png` (losses against steps) and `NAME_trace.mp4` (H.264), marked synthetic."""
    tensors = {"ws": torch.from_numpy(trace.ws)}
    tensors |= {f"loss.{key}": torch.from_numpy(values) for key, values in trace.losses.items()}
    folder.write(f"{name}_trace.safetensors", save(tensors))
    folder.write(f"{name}_trace.png", png_of(plot_losses(trace.losses)))
    write_video(folder.path(f"{name}_trace.mp4"), trace.frames)
    folder.path(f"{name}_trace.mp4.json")
    mark_beside(folder.root / f"{name}_trace.mp4", {**facts, "picture": "film of an inversion"})


def check_events(trace: int) -> None:
    """Raises UserError for what `save_events` would lack."""
    if not trace:
        raise UserError("tensorboard=true shows the trace: set trace=1, or a frame every so many steps.")
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError('tensorboard=true needs TensorBoard: pip install "gan-inversion[tensorboard]"')


def save_events(folder: RunFolder, traces: Mapping[str, Trace], every: int, facts: Mapping[str, Any]) -> None:
    """`trace.tfevents`: each face's losses by step, and a frame `every` so many, for `tensorboard --logdir FOLDER`.

    Time is the step in seconds, as results have the same bytes each time.
    """
    from tensorboard.compat.proto.event_pb2 import Event  # here: an option's
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    written = io.BytesIO()
    events = RecordWriter(written)
    events.write(Event(file_version="brain.Event:2").SerializeToString())

    def tell(step: int, **value: Any) -> None:
        summary = Summary(value=[Summary.Value(**value)])
        events.write(Event(wall_time=step, step=step, summary=summary).SerializeToString())

    for name, trace in traces.items():
        for loss, values in trace.losses.items():
            for step in np.flatnonzero(np.isfinite(values)).tolist():
                tell(step, tag=f"{name}/{loss}", simple_value=values[step])
        for number, frame in enumerate(trace.frames):
            png = synthetic_bytes(frame, {**facts, "picture": f"a step of the inversion of {name}"})
            image = Summary.Image(height=len(frame), width=len(frame), colorspace=3, encoded_image_string=png)
            tell(min(number * every, len(trace.ws) - 1), tag=f"{name}/picture", image=image)
    folder.write("trace.tfevents", written.getvalue())


def masks_of(losses: Mapping[str, Loss]) -> dict[str, list[str]]:
    """Mask -> names of the losses that look through it alone."""
    found: dict[str, list[str]] = {}
    for name, loss in losses.items():
        if mask := getattr(loss, "mask", None):
            found.setdefault(mask, []).append(name)
    return found


def veiled(pixels: np.ndarray, kinds: Iterable[str]) -> np.ndarray:
    """An aligned face, uint8 [R, R, 3], paler where these masks let losses see less: what the search was told to look at."""
    image = to_tensor(pixels)
    seen = torch.stack([mask_of(kind, image) for kind in kinds]).mean(0)
    return to_uint8(image * (VEIL + (1 - VEIL) * seen) + (1 - VEIL) * (1 - seen))


def plot_losses(losses: Mapping[str, np.ndarray], every: int = 1) -> Figure:
    """Each loss [points] relative to its first value, logarithmic; `every`: steps from one point to the next.

    Points that are NaN, of a loss that these steps do not have, are left out.
    """
    figure, (axes,) = new_figure(9, 5, "losses")
    for colour, (name, values) in zip(cycle(COLOURS), losses.items(), strict=False):
        first = next((v for v in values if v > 0), 1.0)
        known = np.isfinite(values)
        share = np.clip(values / first, 1e-3, 1e3)[known]  # a loss that reaches 0 has no logarithm
        axes.plot((np.arange(len(values)) * every)[known], share, color=colour, linewidth=1.8, label=name)
    axes.set(xlabel="step", ylabel="loss / its first value", yscale="log")
    axes.locator_params(axis="x", integer=True)
    plain_numbers(axes.yaxis)
    legend_beside(axes)
    return figure
