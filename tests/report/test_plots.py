"""Plots, by what is in the figures: labels, lines and their numbers."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gan_inversion.metrics.children import real_families
from gan_inversion.report.kinship import PLOTTED, plot_kinship
from gan_inversion.report.plots import png_of
from gan_inversion.report.responses import plot_responses
from gan_inversion.report.speed import plot_speed
from gan_inversion.report.trace import plot_losses

LOSSES = {"total": np.array([2.0, 1.0, 0.5]), "noise": np.array([0.0, 4.0, 2.0]), "gone": np.array([1.0, 0.0, 0.0])}


def legend_of(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend
    return [text.get_text() for text in legend.get_texts()]


def test_losses_are_relative_to_their_first_value() -> None:
    (axes,) = plot_losses(LOSSES, every=5).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss / its first value")
    assert axes.get_yscale() == "log"
    assert legend_of(axes) == list(LOSSES)
    lines = {str(line.get_label()): line.get_ydata() for line in axes.lines}
    assert axes.lines[0].get_xdata() == pytest.approx([0, 5, 10])
    assert lines["total"] == pytest.approx([1, 0.5, 0.25])
    assert lines["noise"] == pytest.approx([1e-3, 1, 0.5])  # its first value above 0
    assert lines["gone"] == pytest.approx([1, 1e-3, 1e-3])


def test_more_losses_than_colours_are_all_drawn() -> None:
    (axes,) = plot_losses({str(i): np.array([1.0, 2.0]) for i in range(25)}).axes
    assert len(axes.lines) == 25


def test_responses_have_a_panel_a_reader() -> None:
    curves = {"steering": np.arange(27.0).reshape(3, 9), "faceres": np.full((2, 9), 30.0)}
    panels = plot_responses(curves).axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        "read by steering, 3 fresh faces",
        "read by faceres, 2 fresh faces",
    ]
    assert (panels[0].get_xlabel(), panels[0].get_ylabel()) == ("step along the direction", "read age, years")
    assert [len(panel.lines) for panel in panels] == [4, 3]  # the faces and their mean
    assert panels[0].lines[1].get_ydata() == pytest.approx(curves["steering"][1])
    assert panels[0].lines[-1].get_ydata() == pytest.approx(np.arange(9.0, 18))
    assert legend_of(panels[0]) == ["one face", "mean"]


def test_kinship_stands_beside_real_families() -> None:
    value = {"mean": 0.5, "std": 0.1, "low": 0.4, "high": 0.6, "n": 4}
    table = {"ours": dict.fromkeys(PLOTTED, value), "real_child": {"less_similar_faceres": {**value, "mean": 0.3}}}
    real = real_families()
    panels = dict(zip(PLOTTED, plot_kinship(table, real).axes, strict=True))
    for column, panel in panels.items():
        mean, std = real[column]["mean"], real[column]["std"]
        (band,) = panel.patches
        assert band.get_x() == pytest.approx(mean - std)
        assert band.get_width() == pytest.approx(2 * std)
        assert panel.lines[0].get_xdata() == pytest.approx([mean, mean])
        assert panel.get_title(loc="left").endswith(" *") == column.endswith("_dlib")
        assert panel.get_xlabel().startswith("dlib distance" if column.endswith("_dlib") else "FaceRes cosine")
    assert [text.get_text() for text in panels["siblings_dlib"].get_yticklabels()] == ["ours", "real child"]
    dots = [bar.lines[0].get_xydata().tolist() for bar in panels["less_similar_faceres"].containers]
    assert dots == [[[0.5, 0]], [[0.3, 1]]]
    (end,) = panels["less_similar_faceres"].containers[0].lines[2]
    assert end.get_segments()[0][:, 0] == pytest.approx([0.4, 0.6])
    assert len(panels["siblings_dlib"].containers) == 1  # real children have no siblings here


def test_speed_is_a_curve_a_recipe() -> None:
    curves = {"plain": np.array([[0.0, 0.5], [10.0, 0.3]]), "default": np.array([[1.0, 0.4], [5.0, 0.0]])}
    (axes,) = plot_speed(curves, "lpips_vgg").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("start and optimisation, seconds", "lpips_vgg")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert legend_of(axes) == ["plain", "default"]
    assert axes.lines[0].get_xydata().ravel() == pytest.approx([0.05, 0.5, 10, 0.3])
    assert axes.lines[1].get_xydata().ravel() == pytest.approx([1, 0.4, 5, 1e-6])


def test_the_file_is_the_same_each_time_and_names_no_version() -> None:
    figure = plot_losses(LOSSES)
    assert isinstance(figure, Figure)
    data = png_of(figure)
    assert data == png_of(plot_losses(LOSSES))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (900, 500)
        assert set(picture.info) == {"dpi"}


@pytest.mark.processes
def test_who_plots_nothing_does_not_wait_for_it() -> None:
    code = "import sys, gan_inversion.report.family; sys.exit(bool({'matplotlib', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
