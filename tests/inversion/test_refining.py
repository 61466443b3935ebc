"""The search of refinements: what it draws by, when it is refused, what a trace and Ctrl-C make of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.stylegan2 import build as build_stylegan2
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import Step
from gan_inversion.inversion import refining
from gan_inversion.inversion.refine_noise import NoiseMaps
from gan_inversion.inversion.refine_styles import Styles
from gan_inversion.inversion.refinement import Features
from gan_inversion.inversion.refining import Refining
from gan_inversion.inversion.trace import Recorder
from gan_inversion.report.trace import plot_losses
from gan_inversion.training.preview_heads import new_heads
from tests.conftest import drawn, make_inverter
from tests.families import tiny_checkpoint

PLAIN: dict[str, Any] = {"previews": 4, "whole": 4, "lpips": 0.0, "identity": 0.0, "sharp": 0.0}  # no weights needed
ALL = [Features(side=16, **PLAIN), Styles(**PLAIN), NoiseMaps(**PLAIN, noise=1.0)]


def with_head() -> Tiny:
    """The tiny generator with a head at 16 pixels, which draws from the features of 8."""
    generator = tiny()
    heads = new_heads(generator, [16], 0).requires_grad_(False)
    generator.use_previews({int(key): head for key, head in heads.items()}, "x")
    return generator


@pytest.mark.parametrize("refine", ALL, ids=lambda one: one.name)
def test_a_trace_has_the_losses_of_both(generator: Tiny, refine: Refining) -> None:
    """NaN where a step has no such loss, and no point in the plot."""
    inverter, recorder = make_inverter(generator, steps=2, refine=refine), Recorder(1, lambda step: None)
    inverter([drawn(generator, 1)], [0], recorder)
    trace = recorder.trace(0)
    known = {name: np.isfinite(values) for name, values in trace.losses.items()}
    assert {len(values) for values in known.values()} == {inverter.steps + 1} == {len(trace.ws)}
    assert known["total"].all() and known["pixel"].all()
    assert known["delta_norm"].tolist() == [True] * 3 + [False] * (refine.steps + 1)
    if refine.name == "noise":
        assert known["noise"].tolist() == [False] * 3 + [True] * refine.steps + [False]
    (axes,) = plot_losses(trace.losses).axes
    points = {str(line.get_label()): line.get_xdata() for line in axes.lines}
    assert {name: list(x) for name, x in points.items()} == {name: [*np.flatnonzero(x)] for name, x in known.items()}


@pytest.mark.parametrize("side", [16, 32])
def test_what_a_preview_does_not_see_is_found_on_the_true_picture(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head draws from the features of 8 pixels: others have no part in its picture."""
    monkeypatch.setattr(refining, "PREVIEW", 16)
    generator, face = with_head(), drawn(tiny(), 1)
    refine = Features(side=side, **{**PLAIN, "whole": 1})
    told: list[Step] = []
    (found,) = make_inverter(generator, steps=2, refine=refine)([face], [0], told.append)
    assert found.features is not None and found.features.any()
    previews = [step for step in told if 2 < step.step <= 2 + refine.previews]
    assert {step.image.shape[-1] for step in previews} == {16}
    assert previews[-1].losses["total"] < previews[0].losses["total"]
    bare = tiny()  # its small pictures are the true ones made smaller
    (same,) = make_inverter(bare, steps=2, refine=dataclasses.replace(refine, correct_every=1))([face], [0])
    assert same.features is not None and torch.allclose(found.features.float(), same.features.float(), atol=1e-2)


def test_heads_that_only_the_refinement_sees_are_in_the_key(generator: Tiny) -> None:
    face, headed = drawn(generator, 1), with_head()
    seeing, blind = (Features(side=16, **{**PLAIN, "previews": count}) for count in (1, 0))
    keys = [[make_inverter(g, refine=refine).key(face, 0) for g in (generator, headed)] for refine in (seeing, blind)]
    assert keys[0][0] != keys[0][1]
    assert keys[1][0] == keys[1][1]


def test_what_does_not_fit_the_generator_is_told_before_any_step(generator: Tiny) -> None:
    with pytest.raises(UserError, match=r"refine.side=100: the features of this generator are 8, 16, 32"):
        make_inverter(generator, refine=Features(side=100))
    silent: Any = build_stylegan2(tiny_checkpoint("stylegan2", use_noise=False), "cpu", None, "face", "float32")
    for refine, message in ((Features(), "none that can be added to"), (NoiseMaps(), "no noise maps")):
        with pytest.raises(UserError, match=message):
            make_inverter(silent, refine=refine)
    assert make_inverter(silent, refine=Styles()).refine == Styles()


@pytest.mark.parametrize("at", [1, 4])
def test_after_ctrl_c_no_other_face_is_refined(generator: Tiny, at: int) -> None:
    """In the search, or in the refinement of the first."""
    told: list[tuple[int, int]] = []

    def stop(step: Step) -> None:
        told.append((step.face, step.step))
        if step.face == 0 and step.step == at:
            raise KeyboardInterrupt

    inverter, faces = make_inverter(generator, steps=2, refine=ALL[0]), [drawn(generator, seed) for seed in (1, 2)]
    found = inverter(faces, [0, 0], stop)
    assert told[-1] == (0, at)
    assert [one.stopped for one in found] == ["interrupted"] * 2
    assert all(one.features is None for one in found)


NAN = float("nan")


@pytest.mark.parametrize("name", ["lpips", "pixel", "identity", "sharp", "learning_rate", "reach", "noise"])
def test_settings_that_are_no_number(name: str) -> None:
    kind: Any = {"reach": Styles, "noise": NoiseMaps}.get(name, Features)
    with pytest.raises(UserError, match=r"^refine"):
        kind(**{name: NAN})
