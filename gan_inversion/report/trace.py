"""The way of an inversion as a file, a plot and a film."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from ..image import mark_beside
from ..inversion.trace import Trace
from .plots import COLOURS, legend_beside, new_figure, plain_numbers, png_of
from .run_folder import RunFolder
from .video import write_video

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_trace(folder: RunFolder, name: str, trace: Trace, facts: Mapping[str, Any]) -> None:
    """`NAME_trace.safetensors`, `NAME_trace.png` (losses against steps) and `NAME_trace.mp4` (H.264), marked synthetic."""
    tensors = {"ws": torch.from_numpy(trace.ws)}
    tensors |= {f"loss.{key}": torch.from_numpy(values) for key, values in trace.losses.items()}
    folder.write(f"{name}_trace.safetensors", save(tensors))
    folder.write(f"{name}_trace.png", png_of(plot_losses(trace.losses)))
    write_video(folder.path(f"{name}_trace.mp4"), trace.frames)
    folder.path(f"{name}_trace.mp4.json")
    mark_beside(folder.root / f"{name}_trace.mp4", {**facts, "picture": "film of an inversion"})


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
