"""What all plots share: colours, axes, and PNG with the same bytes each time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
INK, FAINT, GRID = "#28282c", "#78787e", "#dddad2"
DPI = 100  # 9 x 5 inches: 900 x 500 pixels


def new_figure(
    width: float, height: float, title: str, note: str = "", rows: int = 1, columns: int = 1, **share: Any
) -> tuple[Figure, list[Axes]]:
    """(figure of `width` x `height` inches, its axes row by row). `note` stands small at the foot.

    share: sharex, sharey of `Figure.subplots`. No pyplot: it would keep every figure, and choose a screen.
    """
    from matplotlib.figure import Figure  # here: runs without a plot need not wait for it

    figure = Figure((width, height), DPI, facecolor="white", layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=13, fontweight="bold")
    if note:
        figure.supxlabel(note, x=0.01, ha="left", color=FAINT, fontsize=8.5)
    axes = figure.subplots(rows, columns, squeeze=False, **share).ravel().tolist()
    for one in axes:
        one.grid(color=GRID, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(FAINT)
        one.tick_params(colors=INK, labelsize=9)
    return figure, axes


def plain_numbers(*axes: Axis) -> None:
    """Ticks of logarithmic axes at 1, 2 and 5, as 0.2 and not as a power of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def legend_beside(axes: Axes) -> None:
    """To the right of the axes, where no curve can lie under it."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, labelcolor=INK)


def png_of(figure: Figure) -> bytes:
    """A PNG file's bytes, which say nothing of versions or dates."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
