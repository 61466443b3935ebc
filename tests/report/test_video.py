"""A walk: which stops, where its frames stand, what is between two stops, the film."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from gan_inversion.blending.interpolation import MIXES
from gan_inversion.blending.walk import Walk, check, distances, equal_speed, frame_positions, load_stops, path_distances
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import area_resize, to_tensor, to_uint8
from gan_inversion.interfaces import Latents
from gan_inversion.latents import render, save_latents
from gan_inversion.report.run_folder import RunFolder
from gan_inversion.report.video import draw_frames, gif, save_walk
from tests.conftest import latents, random_pixels


def walk(generator: Tiny, path: str = "p_lerp", stops: int = 3) -> Walk:
    return Walk([Latents(latents(generator, seed)) for seed in range(stops)], path, generator.statistics().mean)


def save(path: Path, generator_sha256: str, *names: str) -> str:
    save_latents(path, {n: Latents(torch.full((8, 16), float(i))) for i, n in enumerate(names)}, generator_sha256)
    return str(path)


def test_stops_in_the_order_of_a_family(generator: Tiny, tmp_path: Path) -> None:
    family = save(
        tmp_path / "family.safetensors", generator.sha256, "mother", "zoe", "child_01", "father", "child_00", "ann"
    )
    names = [stop.name for stop in load_stops([family], generator)]
    assert names == ["father", "child_00", "child_01", "mother", "ann", "zoe"]
    colon = save(tmp_path / "a:b.safetensors", generator.sha256, "ws")
    stops = load_stops([f"{family}:child_01", colon, f"{family}:father"], generator)
    assert [(stop.file, stop.name) for stop in stops] == [(family, "child_01"), (colon, "ws"), (family, "father")]
    assert [stop.inversion.ws[0, 0].item() for stop in stops] == [2, 0, 3]
    assert str(tmp_path) not in json.dumps([stop.identity for stop in stops])


def test_stops_that_cannot_be(generator: Tiny, tmp_path: Path) -> None:
    good = save(tmp_path / "good.safetensors", generator.sha256, "father", "mother")
    other = save(tmp_path / "other.safetensors", "another", "ws")
    with pytest.raises(UserError, match=r"other\.safetensors: these latents belong to another generator"):
        load_stops([good, other], generator)
    with pytest.raises(UserError, match="at least two, not 1"):
        load_stops([f"{good}:father"], generator)
    with pytest.raises(UserError, match=r"good\.safetensors: no latents called child"):
        load_stops([good, f"{good}:child"], generator)
    with pytest.raises(UserError, match=r"none\.safetensors"):
        load_stops(["none.safetensors"], generator)


@pytest.mark.parametrize(("key", "value"), [("path", "zigzag"), ("easing", "bouncy"), ("size", 65)])
def test_settings_that_cannot_be(key: str, value: str | int) -> None:
    with pytest.raises(UserError, match=f"{key}={value}: "):
        check(**{"path": "lerp", "easing": "linear", "size": 64, key: value})


def test_frames_stand_evenly_by_length() -> None:
    assert np.allclose(frame_positions(np.array([0.0, 1]), np.ones(1), 4, "linear"), [0, 0.25, 0.5, 0.75, 1])
    positions = frame_positions(np.array([0, 0.5, 1]), np.array([3.0, 1]), 4, "linear")
    assert np.allclose(positions, [0, 1 / 6, 1 / 3, 1 / 2, 1])
    positions = frame_positions(np.arange(3.0), np.array([3.0, 1]), 4, "linear")  # 6 steps and 2
    assert np.allclose(positions, [*np.arange(6) / 6, 1, 1.5, 2])


@pytest.mark.parametrize("easing", ["linear", "smooth"])
@pytest.mark.parametrize("lengths", [[1, 2, 0, 0, 1e-6, 0, 5, 1], [0] * 8])
def test_each_stop_is_shown_however_near(lengths: list[float], easing: str) -> None:
    positions = frame_positions(np.arange(9) / 2, np.array(lengths), 3, easing)
    assert {0, 1, 2, 3, 4} <= set(positions)
    assert (np.diff(positions) > 0).all()


def test_smooth_is_slow_at_the_stops() -> None:
    positions = frame_positions(np.arange(3.0), np.ones(2), 12, "smooth")
    leg = np.diff(positions[:13])
    assert np.allclose(leg, leg[::-1])
    assert leg[0] < leg.mean() / 4
    assert np.allclose(positions[[0, 4, 12]], [0, (1 - np.cos(np.pi / 3)) / 2, 1])


@pytest.mark.parametrize("path", MIXES)
def test_the_path_goes_through_its_stops(generator: Tiny, path: str) -> None:
    route = walk(generator, path)
    assert route.legs == 2
    for position, stop in enumerate(route.stops):
        assert torch.allclose(route.at(float(position)).ws, stop.ws, atol=1e-5)
    weights = torch.full((8,), 0.25)
    between = MIXES[path](route.stops[1].ws, route.stops[2].ws, weights, generator.statistics().mean)
    assert torch.equal(route.at(1.25).ws, between)


def test_style_offsets_go_along(generator: Tiny) -> None:
    ws = latents(generator, 0)
    offset = torch.ones(len(generator.style_rows))
    route = Walk([Latents(ws), Latents(ws, offset), Latents(ws, 3 * offset)], "lerp", ws[0])
    found = [route.at(p).style_offset for p in (0.0, 0.25, 1.0, 1.5)]
    assert [one.unique().tolist() for one in found if one is not None] == [[0], [0.25], [1], [2]]
    assert Walk([Latents(ws), Latents(ws)], "lerp", ws[0]).at(0.5).style_offset is None


def test_frames_are_the_true_pictures(generator: Tiny) -> None:
    route = walk(generator)
    frames = draw_frames(generator, route, np.array([0, 1.5]), 32)
    assert frames.shape == (2, 32, 32, 3)
    assert np.array_equal(frames[1], to_uint8(area_resize(render(generator, route.at(1.5)), 32)))


def test_the_gif_plays_and_says_what_it_is() -> None:
    frames = np.stack([random_pixels(i, 400) for i in range(9)])
    with Image.open(io.BytesIO(gif(frames, 24))) as film:
        assert (film.size, film.n_frames, film.info["loop"]) == ((320, 320), 9, 0)
        assert film.info["comment"].startswith(b"synthetic; http")
        durations = []
        for i in range(9):
            film.seek(i)
            durations.append(film.info["duration"])
    assert sum(durations) == 380  # 9 / 24 s, in hundredths
    assert set(durations) == {40, 50}
    steps = np.stack([np.full((40, 40, 3), value, np.uint8) for value in (0, 90, 200)])
    with Image.open(io.BytesIO(gif(steps, 200))) as film:
        assert (film.size, film.info["duration"]) == ((40, 40), 20)  # no faster than browsers play
        film.seek(1)
        assert abs(np.asarray(film.convert("RGB")).astype(int) - 90).max() < 8


def test_the_gif_keeps_a_rare_colour() -> None:
    """Lips among much skin."""
    ramp = np.linspace(0, 255, 200 * 200).reshape(200, 200).astype(np.uint8)
    frame = np.stack([ramp, ramp // 2 + 60, ramp // 3 + 50], 2)
    frame[90:100, 90:110] = (190, 60, 90)
    with Image.open(io.BytesIO(gif(np.stack([frame, frame[::-1]]), 10))) as film:
        lips = np.asarray(film.convert("RGB"))[92:98, 93:107].mean((0, 1))
    assert np.abs(lips - (190, 60, 90)).max() < 12


def test_both_films_are_marked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save_walk(folder, np.stack([random_pixels(i) for i in range(5)]), 10, {"generator": "g"})
    assert {p.name for p in tmp_path.iterdir()} == folder.written
    assert folder.written == {"walk.mp4", "walk.mp4.json", "walk.gif", "walk.gif.json"}
    for name in ("walk.mp4", "walk.gif"):
        facts = json.loads((tmp_path / f"{name}.json").read_text())
        assert facts["synthetic"] is True
        assert facts["generator"] == "g"
    video = cv2.VideoCapture(str(tmp_path / "walk.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (5, 10)


@pytest.mark.weights
def test_distances_are_between_neighbours() -> None:
    a, b = (to_tensor(random_pixels(i)) for i in range(2))
    same, far, back = distances([a, a, b, a])
    assert same == 0
    assert far == back > 0.1


@pytest.mark.weights
def test_equal_speed_is_more_equal(generator: Tiny) -> None:
    """A long leg and a short one, each with its faster parts."""
    a, b = latents(generator, 0), latents(generator, 1)
    route = Walk([Latents(a), Latents(b), Latents(b + 0.1 * (a - b))], "lerp", a[0])
    knots, lengths, ratios = equal_speed(generator, route, 8)
    assert {0, 1, 2} <= set(knots)
    assert ratios["before"] > 3
    assert 1 <= ratios["after"] < 1.3
    film = path_distances(generator, route, frame_positions(knots, lengths, 24, "linear"))
    assert film.max() < 1.2 * film.mean()
