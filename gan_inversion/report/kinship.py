"""The table of an evaluation of children: for the terminal, for spreadsheets, and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from .trace import COLOURS, draw_text

COLUMNS = ("less_similar_dlib", "less_similar_faceres", "difference_dlib", "difference_faceres", "auc_dlib", "auc_faceres",
           "siblings_dlib", "siblings_faceres", "siblings_at_one_age_dlib", "siblings_at_one_age_faceres", "age_8_judge",
           "age_25_judge", "gender_25_judge", "age_8_steering",
           "age_25_steering", "gender_25_steering", "p_norm", "p_norm_no_worse_than_parents")  # fmt: skip
STEERED_BY = ("_dlib", "_steering")  # endings of columns whose network took part in the making: marked


def _number(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, Mapping):
        return f"{value:.3f}"
    spread = f" ± {value['std']:.3f}" if "std" in value else ""
    interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if "low" in value else ""
    return f"{value['mean']:.3f}{spread}{interval}"


def _count(row: Mapping[str, Any], column: str) -> int:
    """Children, or fewer where the column is of one age, or more where it is of pairs."""
    value = row[column]
    return int(value["n"] if isinstance(value, Mapping) else row["n"])


def text_of(table: Mapping[str, Mapping[str, Any]], real: Mapping[str, Any]) -> str:
    """One block a column: methods below each other, real families last. *: by a network that took part in the making."""
    lines = []
    for column in COLUMNS:
        mark = " *" if column.endswith(STEERED_BY) else ""
        rows = [(method, _number(row[column])) for method, row in table.items() if row.get(column) is not None]
        if rows:
            lines.append(f"{column}{mark}")
            lines += [f"  {method:18} {value}   n {_count(table[method], column)}" for method, value in rows]
            lines += [f"  {'real families':18} {_number(real[column])}"] if column in real else []
    return "\n".join(lines)


def csv_of(table: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a method; where a value has an interval, three columns."""
    rows = []
    for method, values in table.items():
        flat: dict[str, Any] = {"method": method}
        for name, value in values.items():
            flat |= {f"{name}_{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
        rows.append(flat)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def plot_kinship(table: Mapping[str, Mapping[str, Any]], real: Mapping[str, Any]) -> np.ndarray:
    """uint8: each method's mean and deviation beside the band of real families (mean and one deviation), by network."""
    panels = []
    for column in ("less_similar_dlib", "less_similar_faceres", "siblings_dlib", "siblings_faceres"):
        height, width, left, right = 60 + 34 * len(table), 620, 170, 600
        canvas = np.full((height, width, 3), 255, np.uint8)
        band, top = real[column], 1.3 if column.endswith("dlib") else 1.0

        def at(value: float, top: float = top, left: int = left, right: int = right) -> int:
            return round(left + float(np.clip(value / top, 0, 1)) * (right - left))

        low, high = (at(band["mean"] + sign * band["std"]) for sign in (-1, 1))
        cv2.rectangle(canvas, (low, 34), (high, height - 10), (228, 236, 244), -1)
        cv2.line(canvas, (at(band["mean"]), 34), (at(band["mean"]), height - 10), (150, 170, 200), 2)
        draw_text(canvas, f"{column}: band = real families, mean and one deviation; right end {top:g}", (8, 20))
        for i, (method, row) in enumerate(table.items()):
            y = 54 + 34 * i
            draw_text(canvas, method, (8, y + 5))
            value = row.get(column)
            if value:
                ends = at(value["mean"] - value["std"]), at(value["mean"] + value["std"])
                cv2.line(canvas, (ends[0], y), (ends[1], y), COLOURS[i % len(COLOURS)], 2, cv2.LINE_AA)
                cv2.circle(canvas, (at(value["mean"]), y), 6, COLOURS[i % len(COLOURS)], -1, cv2.LINE_AA)
        panels.append(canvas)
    return np.concatenate([np.concatenate(panels[:2], 1), np.concatenate(panels[2:], 1)])
