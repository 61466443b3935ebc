"""A benchmark as a person reads it: a table on the terminal, a plot of quality against seconds, JSON for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from .plots import COLOURS, legend_beside, new_figure, plain_numbers, png_of
from .run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def say(recipe: str, face: str, row: Mapping[str, Any]) -> None:
    """One line a result, as it comes."""
    seconds = "  ".join(f"{part} {value:.2f}s" for part, value in row["seconds"].items())
    metrics = "  ".join(f"{name}{_mark(m)} {m['value']:.4g}" for name, m in row["metrics"].items())
    print(f"{recipe:12} {face:20} {seconds}  {metrics}", flush=True)


def _mark(metric: Mapping[str, Any]) -> str:
    return "*" if metric["status"] == "optimised" else ""


def save_benchmark(folder: RunFolder, document: Mapping[str, Any]) -> None:
    """`benchmark.json`, `benchmark.png`, and the means on the terminal."""
    print("\n" + ", ".join(f"{key} {value}" for key, value in document["hardware"].items()))
    print("means (*: optimised by that recipe); seconds are start + optimise")
    for recipe, means in document["mean"].items():
        row = next(iter(document["faces"][recipe].values()))["metrics"]
        values = "  ".join(f"{name}{_mark(row[name])} {means[name]:.4g}" for name in row)
        print(f"{recipe:12} {means['seconds']:.2f}s  {values}")
    print("\n".join(_spreads(document["spread"], next(iter(row)))))
    for recipe, costs in document["steps"].items():
        for cost in costs:
            print(
                f"{recipe:12} a step at {cost['resolution']} pixels: {cost['seconds']:.3f}s, {cost['gigaflops']:.1f} GFLOP, "
                f"{cost['share_of_peak']:.0%} of this machine's {document['peak_gigaflops']:.0f} GFLOP/s"
            )
    print(f"peak memory {document['peak_memory_gb']:.2f} GB")
    metric = next(iter(next(iter(next(iter(document["faces"].values())).values()))["metrics"]))
    curves = {recipe: _mean_curve(list(faces.values()), metric) for recipe, faces in document["faces"].items()}
    if all(len(curve) for curve in curves.values()):
        folder.write("benchmark.png", png_of(plot_speed(curves, metric)))
    folder.finish("benchmark.json", document)
    print(f"benchmark: {folder.root}")


def _spreads(spread: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str) -> list[str]:
    """A table: medians over the faces, least and most in brackets."""
    columns = {
        "seconds": "seconds",
        "ratio": "of the first's, face by face",
        "quality_at_equal_time": f"{metric} at equal time",
        "time_at_equal_quality": "seconds at equal quality",
    }
    shown = [key for key in columns if key in next(iter(spread.values()))]
    lines = ["medians of the faces (least to most)", f"{'':12} " + "  ".join(f"{columns[key]:30}" for key in shown)]
    for recipe, found in spread.items():
        cells = [f"{v['median']:.4g} ({v['least']:.4g} to {v['most']:.4g})" for v in (found[key] for key in shown)]
        lines.append(f"{recipe:12} " + "  ".join(f"{cell:30}" for cell in cells))
    return [line.rstrip() for line in lines]


def _mean_curve(rows: list[Mapping[str, Any]], metric: str) -> np.ndarray:
    """[points, 2]: seconds and metric, averaged over faces point by point."""
    return np.array([[[point["seconds"], point[metric]] for point in row["curve"]] for row in rows]).mean(0)


def plot_speed(curves: Mapping[str, np.ndarray], metric: str) -> Figure:
    """The metric against seconds, both logarithmic: one curve [points, 2] a recipe, from `_mean_curve`."""
    figure, (axes,) = new_figure(9, 5, "quality against time", "mean of the faces, at points on the way of each recipe")
    for colour, (name, curve) in zip(cycle(COLOURS), curves.items(), strict=False):
        seconds, values = np.clip(curve, [0.05, 1e-6], None).T  # a start may take no time, which has no logarithm
        axes.plot(seconds, values, color=colour, linewidth=1.8, marker="o", markersize=4, label=name)
    axes.set(xlabel="start and optimisation, seconds", ylabel=metric, xscale="log", yscale="log")
    plain_numbers(axes.xaxis, axes.yaxis)
    legend_beside(axes)
    return figure
