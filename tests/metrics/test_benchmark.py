"""What a benchmark says of one recipe: its steps, and how near it came on the way."""

from __future__ import annotations

import dataclasses

import pytest

from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from gan_inversion.inversion.refinement import Features
from gan_inversion.metrics.benchmark import compare_all, compared, measure, run
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


def test_recipes_compared_by_hand() -> None:
    """Two faces. The quick recipe ends at LPIPS .4 and .3; the slow one passes .4 half-way between its second points."""

    def measured(seconds: float, *way: tuple[float, float]) -> dict[str, object]:
        curve = [{"seconds": at, "lpips_vgg": value, "psnr": -value} for at, value in way]
        return {"seconds": {"start": 1.0, "optimise": seconds - 1}, "curve": curve}

    results = {
        "slow": {"a": measured(20, (0, 0.8), (10, 0.6), (20, 0.2)), "b": measured(40, (0, 0.5), (20, 0.3), (40, 0.3))},
        "quick": {"a": measured(5, (0, 0.8), (5, 0.4)), "b": measured(8, (0, 0.5), (8, 0.3))},
    }
    for metric, sign in (("lpips_vgg", 1), ("psnr", -1)):
        found = compared(results, metric)
        assert found["quick"]["ratio"] == {"median": 0.225, "least": 0.2, "most": 0.25}
        assert found["slow"]["ratio"] == {"median": 1.0, "least": 1.0, "most": 1.0}
        assert found["slow"]["seconds"] == {"median": 30, "least": 20, "most": 40}
        equal = found["slow"]["quality_at_equal_time"]
        assert sorted(sign * equal[key] for key in ("least", "most")) == pytest.approx([0.42, 0.7])
        assert found["slow"]["time_at_equal_quality"]["least"] == pytest.approx(15)
        assert found["slow"]["time_at_equal_quality"]["most"] == pytest.approx(20)
        assert found["quick"]["time_at_equal_quality"] == {"median": 6.5, "least": 5, "most": 8}
    for row in (row for faces in results.values() for row in faces.values()):
        row["curve"] = []
    assert set(compared(results, "psnr")["slow"]) == {"seconds", "ratio"}
