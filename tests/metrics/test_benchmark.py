"""What a benchmark says of one recipe: its steps, and how near it came on the way."""

from __future__ import annotations

import dataclasses

from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from gan_inversion.inversion.refinement import Features
from gan_inversion.metrics.benchmark import compare_all, measure, run
from gan_inversion.metrics.reconstruction import evaluate
from tests.conftest import drawn, make_inverter

REFINE = Features(side=32, previews=1, whole=12, learning_rate=0.5, lpips=0.0, identity=0.0, sharp=0.0)


def test_the_way_to_a_refined_inversion(generator: Tiny) -> None:
    """Earlier steps have nothing of what was added at the end; its updates are counted."""
    face, inverter = drawn(generator, 1), make_inverter(generator, steps=4, refine=REFINE)
    made = run(inverter, face, 0)
    assert made.inversion.features is not None
    told = measure(made, face, inverter, ["mse"], 2)
    assert told["steps"] == 4 + REFINE.steps
    begin = Inversion(made.way[0][1], generator.sha256)
    first, last = told["curve"]
    assert first["mse"] == evaluate(face, begin, generator, ["mse"])["mse"]
    assert last["mse"] == told["metrics"]["mse"]["value"] < first["mse"]
    plain = dataclasses.replace(inverter, refine=None)
    told = measure(run(plain, face, 0), face, plain, ["mse"], 1)
    assert (told["steps"], told["curve"]) == (4, [])


def test_a_patient_recipe_is_warmed_up(generator: Tiny) -> None:
    """With fewer steps than its patience."""
    patient = make_inverter(generator, steps=6, patience=5)
    found = compare_all({"patient": patient}, [drawn(generator, 1)], 0, ["mse"], 0, lambda *_: None)
    assert found["patient"]["face1"]["steps"] == 6
