"""The table of an evaluation of children: for the terminal, for spreadsheets, and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from ..faces.traits import GROUPS
from ..metrics.children import NETWORKS, ROLES
from ..metrics.heredity import KEPT, of_group
from .contact_sheet import FAINT, GAP, INK, MARGIN, PAPER, font
from .plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("less_similar_dlib", "less_similar_faceres", "difference_dlib", "difference_faceres", "auc_dlib", "auc_faceres",
           *(f"{kind}{role}_{network}" for role in ROLES for kind in ("", "auc_") for network in NETWORKS),
           "siblings_dlib", "siblings_faceres", "siblings_at_one_age_dlib", "siblings_at_one_age_faceres", "age_8_judge",
           "age_25_judge", "gender_25_judge", "age_8_steering",
           "age_25_steering", "gender_25_steering", "p_norm", "p_norm_no_worse_than_parents", "itself_at_both_ages_dlib",
           "itself_at_both_ages_faceres", *(f"{trait}_between" for trait in KEPT),
           *(of_group(column, group) for column in (*(f"{trait}_between" for trait in KEPT), "less_similar_faceres")
             for group, _ in GROUPS))  # fmt: skip
STEERED_BY = ("_dlib", "_steering", "_between")  # endings of columns that took part in the making: marked
PLOTTED = {  # column -> title, unit and right end of its panel
    "less_similar_dlib": ("child and its less similar parent", "dlib distance: smaller is nearer", 1.3),
    "less_similar_faceres": ("child and its less similar parent", "FaceRes cosine: larger is nearer", 1.0),
    "siblings_dlib": ("siblings", "dlib distance: smaller is nearer", 1.3),
    "siblings_faceres": ("siblings", "FaceRes cosine: larger is nearer", 1.0),
}


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


def plot_kinship(table: Mapping[str, Mapping[str, Any]], real: Mapping[str, Any]) -> Figure:
    """Each method's mean and deviation beside the band of real families (mean and one deviation), by network."""
    note = "dots: mean and one deviation of each method. *: this network took part in the making"
    size = 11, 2.6 + 0.6 * len(table)
    figure, panels = new_figure(*size, "children against real families", note, len(PLOTTED) // 2, 2, sharey=True)
    for axes, (column, (title, unit, end)) in zip(panels, PLOTTED.items(), strict=True):
        mean, std = real[column]["mean"], real[column]["std"]
        axes.axvspan(mean - std, mean + std, color="#d5e2f0", label="real families, mean and one deviation")
        axes.axvline(mean, color="#7f9bc4", linewidth=2)
        for i, (method, row) in enumerate(table.items()):
            if value := row.get(column):
                colour = COLOURS[i % len(COLOURS)]
                axes.errorbar(value["mean"], i, xerr=value["std"], fmt="o", color=colour, capsize=3, label=method)
        mark = " *" if column.endswith(STEERED_BY) else ""
        axes.set_title(f"{title}{mark}", loc="left", fontsize=10)
        axes.set(xlabel=unit, xlim=(0, end), yticks=range(len(table)), yticklabels=[m.replace("_", " ") for m in table])
        axes.set_ylim(len(table) - 0.5, -0.5)  # the first on top
    figure.legend(handles=panels[0].patches, loc="outside upper right", frameon=False, fontsize=9)
    return figure


def children_sheet(rows: Sequence[Mapping[str, np.ndarray]], footer: str) -> np.ndarray:
    """uint8 [H, W, 3]: a row a couple, caption -> uint8 [S, S, 3], all of the same captions, which head the columns."""
    side, captions = next(iter(rows[0].values())).shape[0], list(rows[0])
    width, height = 2 * MARGIN + len(captions) * (side + GAP) - GAP, 3 * MARGIN + len(rows) * (side + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions):
        x = MARGIN + column * (side + GAP)
        draw.text((x, MARGIN - GAP // 2), caption, INK, font(14), anchor="ls")
        for number, row in enumerate(rows):
            sheet.paste(Image.fromarray(row[caption]), (x, MARGIN + number * (side + GAP)))
    draw.text((MARGIN, height - MARGIN), footer, FAINT, font(15), anchor="ls")
    return np.asarray(sheet)
