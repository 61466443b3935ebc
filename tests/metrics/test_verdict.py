"""Verdicts: by which network, at which bounds, and what comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.execution.local import Local
from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.image import to_uint8
from gan_inversion.interfaces import AlignedFace, Latents
from gan_inversion.inversion.inverter import Inverter
from gan_inversion.inversion.loop import Optimiser
from gan_inversion.inversion.starts import FromInversion
from gan_inversion.latents import save_latents
from gan_inversion.losses.pixel import Pixel
from gan_inversion.metrics.verdict import ALIKE, OTHER, SAME, judge, refused, verdict_of
from gan_inversion.spaces.population import sample_w
from gan_inversion.spaces.w import W
from gan_inversion.store.inversions import Task, invert_faces
from gan_inversion.store.store import Store


@pytest.mark.parametrize(
    ("metrics", "pursued", "word", "network"),
    [
        ({"identity_faceres": 0.9, "identity_dlib": 0.9}, set(), SAME, "FaceRes"),
        ({"identity_faceres": 0.7}, set(), ALIKE, "FaceRes"),
        ({"identity_faceres": 0.4}, set(), OTHER, "FaceRes"),
        ({"identity_dlib": 0.3}, set(), SAME, "dlib"),
        ({"identity_dlib": 0.3}, {"identity_dlib"}, ALIKE, "dlib"),
        ({"identity_dlib": 0.7}, set(), OTHER, "dlib"),
    ],
)
def test_words(metrics: dict[str, float], pursued: set[str], word: str, network: str) -> None:
    found = verdict_of(metrics, pursued)
    assert found is not None
    assert (found.word, found.network) == (word, network)


def test_none_without_a_network() -> None:
    assert verdict_of({"mse": 0.1}, set()) is None
    assert refused(None, "same_person") == ""


def test_what_is_required() -> None:
    alike = verdict_of({"identity_faceres": 0.7}, set())
    assert "a look-alike (FaceRes 0.70)" in refused(alike, "same_person")
    assert refused(alike, "look_alike") == refused(alike, "warn") == refused(alike, None) == ""


@pytest.mark.weights
def test_another_person_is_someone_else(tmp_path: Path) -> None:
    """Latents of one face given out as those of another: said, and refused where the person is required."""
    generator, faces = ffhq(), [AlignedFace(draw_face(ffhq(), seed), f"face{seed}") for seed in (3, 5)]
    mean = generator.statistics().mean
    w = mean + 0.7 * (sample_w(generator, 1, 3)[1] - mean)
    save_latents(tmp_path / "three.safetensors", {"ws": Latents(w.repeat(generator.num_ws, 1))}, generator.sha256)
    start, optimiser = FromInversion(str(tmp_path / "three.safetensors")), Optimiser(0, (), ())
    inverter = Inverter(generator, W(), start, {"pixel": Pixel()}, optimiser)

    def run(require: str) -> tuple[list[str], list[str]]:
        task = Task(lambda: inverter, (judge(),), 0, require)
        done, failed = invert_faces(faces, [0, 0], task, Local(), Store(None), lambda step: None)
        return [item.verdict.word for item in done if item.verdict], [item.reason for item in failed]

    drawn = to_uint8(generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1)))
    assert (drawn == faces[0].pixels).all()
    assert run("warn") == ([SAME, OTHER], [])
    words, reasons = run("same_person")
    assert words == [SAME]
    assert "face5: its inversion is someone else" in reasons[0]
