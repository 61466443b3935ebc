"""A benchmark as a person reads it: a table on the terminal, a plot of quality against seconds, JSON for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from .run_folder import RunFolder
from .trace import COLOURS, draw_text


def say(recipe: str, face: str, row: Mapping[str, Any]) -> None:
    """One line a result, as it comes."""
    seconds = "  ".join(f"{part} {value:.2f}s" for part, value in row["seconds"].items())
    metrics = "  ".join(f"{name}{_mark(m)} {m['value']:.4g}" for name, m in row["metrics"].items())
    print(f"{recipe:12} {face:20} {seconds}  {metrics}", flush=True)


def _mark(metric: Mapping[str, Any]) -> str:
    return "*" if metric["status"] == "optimised" else ""


def save_benchmark(folder: RunFolder, document: Mapping[str, Any]) -> None:
    """`benchmark.json`, `benchmark.png`, and the means on the terminal."""
    reference = next(iter(document["mean"].values()))["seconds"]
    print("\nmeans (*: optimised by that recipe); seconds are start + optimise")
    for recipe, means in document["mean"].items():
        row = next(iter(document["faces"][recipe].values()))["metrics"]
        values = "  ".join(f"{name}{_mark(row[name])} {means[name]:.4g}" for name in row)
        print(f"{recipe:12} {means['seconds']:.2f}s ({means['seconds'] / reference:.3f})  {values}")
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
        png = cv2.imencode(".png", plot_speed(curves, metric)[:, :, ::-1])[1]
        folder.write("benchmark.png", png.tobytes())
    folder.finish("benchmark.json", document)
    print(f"benchmark: {folder.root}")


def _mean_curve(rows: list[Mapping[str, Any]], metric: str) -> np.ndarray:
    """[points, 2]: seconds and metric, averaged over faces point by point."""
    return np.array([[[point["seconds"], point[metric]] for point in row["curve"]] for row in rows]).mean(0)


def plot_speed(curves: Mapping[str, np.ndarray], metric: str, width: int = 900, height: int = 500) -> np.ndarray:
    """uint8 [height, width, 3]: the metric against seconds, both logarithmic, one curve a recipe."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    left, right, top, bottom = 80, width - 190, 30, height - 60
    logs = {name: np.log10(np.clip(curve, [0.05, 1e-6], None)) for name, curve in curves.items()}
    low, high = np.concatenate(list(logs.values())).min(0), np.concatenate(list(logs.values())).max(0) + 1e-6

    def place(points: np.ndarray) -> np.ndarray:
        share = (points - low) / (high - low)
        return np.stack([left + share[:, 0] * (right - left), bottom - share[:, 1] * (bottom - top)], 1).round()

    for i in range(5):
        x, y = (low + (high - low) * i / 4).tolist()
        px, py = place(np.array([[x, y]]))[0].astype(int).tolist()
        cv2.line(canvas, (left, py), (right, py), (225, 225, 225), 1)
        cv2.line(canvas, (px, top), (px, bottom), (225, 225, 225), 1)
        draw_text(canvas, f"{10**y:.3g}", (18, py + 5))
        draw_text(canvas, f"{10**x:.2g}s", (px - 15, bottom + 20))
    for i, (name, curve) in enumerate(logs.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = place(curve).astype(np.int32)
        cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
        for point in points.tolist():
            cv2.circle(canvas, point, 4, colour, -1, cv2.LINE_AA)
        cv2.line(canvas, (right + 15, top + 12 + 24 * i), (right + 40, top + 12 + 24 * i), colour, 3)
        draw_text(canvas, name, (right + 48, top + 17 + 24 * i))
    draw_text(canvas, f"{metric} against seconds of start and optimisation, mean of the faces", (left, height - 15))
    return canvas
