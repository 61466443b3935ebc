"""Traits: colours by hand, what must not move them, what cannot be read, and what lies between."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.color
import skimage.data
import torch

from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.faces import traits
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.faces.masks import person_mask
from gan_inversion.faces.mesh import Mesh, face_mesh, face_ratios, find_mesh
from gan_inversion.faces.patches import CHEEK_PATCHES, FOREHEAD_PATCH, LEFT_EYE, RIGHT_EYE, hair_mask, lab_of, texture
from gan_inversion.faces.traits import TOLERANCES, UNREAD, Traits, between, read_traits, skin_group
from gan_inversion.image import Photo, resized, to_tensor
from tests.conftest import random_pixels, real
from tests.steadiness import changed, lit


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return FFHQ(256)(Photo(skimage.data.astronaut(), "astronaut.png", "0"), "astronaut").pixels


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return resized(draw_face(real(), 3), 256, 256)


def painted(pixels: np.ndarray, patches: tuple[tuple[int, ...], ...], lab: tuple[float, float, float]) -> np.ndarray:
    """The hull of each patch's landmarks, a little widened, in one colour."""
    mesh, canvas = find_mesh(pixels, face_mesh()), pixels.copy()
    colour = (skimage.color.lab2rgb(np.array(lab)) * 255).round().tolist()
    for patch in patches:
        hull = cv2.convexHull(mesh.points[list(patch)].round().astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, colour)
        cv2.polylines(canvas, [hull], True, colour, 3)
    return canvas


def test_colours_are_cielab() -> None:
    pixels = random_pixels(0, 32)
    assert np.allclose(lab_of(pixels), skimage.color.rgb2lab(pixels), atol=0.6)
    assert np.allclose(lab_of(np.full((1, 1, 3), 255, np.uint8)), [100, 0, 0], atol=0.1)


@pytest.mark.parametrize(
    ("ita", "group"),
    [(56, "very light"), (55, "light"), (30, "intermediate"), (28, "tan"), (0, "brown"), (-30, "dark"), (-90, "dark")],
)
def test_skin_groups(ita: float, group: str) -> None:
    assert skin_group(ita) == group
    assert skin_group(float("nan")) is None


def test_between_by_hand() -> None:
    father = Traits(ita=20, hair_l=10, iris_l=20, iris_a=0, iris_b=0, nose_width=0.3)
    mother = Traits(ita=50, hair_l=40, iris_l=60, iris_a=0, iris_b=0)
    child = Traits(ita=13, hair_l=46, iris_l=40, iris_a=3, iris_b=4, nose_width=0.3)
    told = between([father, mother], child)
    assert told["skin"] is True  # 7 degrees below
    assert told["hair_darkness"] is False  # 6 above, 4.5 allowed
    assert told["iris"] is True  # 5 beside the way from dark to light
    assert told["nose_width"] is None  # the mother's was not read
    assert between([mother, father], child) == told
    assert between([father, mother], child, {"skin": 6.0, "iris": 4.9}) == {"skin": False, "iris": False}
    assert between([father, father], replace(father, ita=20.5))["skin"] is True
    assert set(told) == set(TOLERANCES)
    assert set(between([father, mother], UNREAD).values()) == {None}


def test_what_is_told_is_json() -> None:
    told = Traits(ita=30.00004, iris_reliable=True).describe()
    assert (told["ita"], told["skin_group"], told["iris_reliable"], told["hair_l"]) == (
        30.0,
        "intermediate",
        True,
        None,
    )


def test_texture_by_hand() -> None:
    """Waves of three pixels are fine, those of forty are not; nothing outside of the mask counts."""
    columns, mask = np.arange(256)[None].repeat(256, 0), np.zeros((256, 256), bool)
    mask[20:120, 40:220] = True
    fine, coarse = (50 + 10 * np.sin(2 * np.pi * columns / wave) for wave in (10, 80))
    assert texture(fine.astype(np.float32), mask, 600) > 0.6
    assert texture(coarse.astype(np.float32), mask, 600) < 0.05
    outside = np.where(mask, fine, 255 * (columns % 2)).astype(np.float32)
    assert texture(outside, mask, 600) == pytest.approx(texture(fine.astype(np.float32), mask, 600), abs=1e-4)
    assert np.isnan(texture(fine.astype(np.float32), mask & (columns < 43), 600))


def test_too_small_a_picture_has_no_traits_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "face_mesh", None)
    assert read_traits(to_tensor(random_pixels(0, 64))) is UNREAD


@pytest.mark.weights
@pytest.mark.parametrize("lab", [(72.0, 12.0, 16.0), (40.0, 14.0, 18.0)])
def test_skin_of_a_known_colour(astronaut: np.ndarray, lab: tuple[float, float, float]) -> None:
    read = read_traits(to_tensor(painted(astronaut, (*CHEEK_PATCHES, FOREHEAD_PATCH), lab)))
    assert (read.skin_l, read.skin_a, read.skin_b) == pytest.approx(lab, abs=0.6)
    assert read.ita == pytest.approx(np.degrees(np.arctan2(lab[0] - 50, lab[2])), abs=1.5)


@pytest.mark.weights
@pytest.mark.parametrize("face", ["astronaut", "sample"])
def test_readings_are_steadier_than_their_tolerances(face: str, request: pytest.FixtureRequest) -> None:
    """And almost the same at another size; a mirrored face has its yaw the other way about."""
    pixels: np.ndarray = request.getfixturevalue(face)
    read = read_traits(to_tensor(pixels))
    assert not read.is_empty
    for name, other in changed(pixels).items():
        kept = between([read, read], read_traits(to_tensor(other)))
        assert None not in kept.values(), name
        assert sum(kept.values()) >= len(kept) - 1, (name, kept)  # 95 % of readings are, by how they were measured
    large = read_traits(to_tensor(cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_CUBIC)))
    assert all(between([read, read], large).values())
    mirrored = read_traits(to_tensor(np.ascontiguousarray(pixels[:, ::-1])))
    assert mirrored.yaw == pytest.approx(-read.yaw, abs=0.1)
    assert mirrored.ita == pytest.approx(read.ita, abs=4)
    assert mirrored.face_width == pytest.approx(read.face_width, abs=0.02)
    light, dark = (read_traits(to_tensor(lit(pixels, factor))) for factor in (1.5, 0.5))
    assert light.ita > read.ita > dark.ita  # light is not taken out
    assert light.hair_l > read.hair_l > dark.hair_l


@pytest.mark.weights
def test_what_a_picture_does_not_show(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_traits(torch.zeros(1, 3, 256, 256)) is UNREAD
    sunglasses = read_traits(to_tensor(painted(astronaut, (RIGHT_EYE, LEFT_EYE), (5.0, 0.0, 0.0))))
    assert np.isnan(sunglasses.iris_l)
    assert not sunglasses.iris_reliable
    assert np.isfinite(sunglasses.hair_l)
    seen = read_traits(to_tensor(astronaut))
    skin = skimage.color.lab2rgb([seen.skin_l, seen.skin_a, seen.skin_b]) * 255
    hair = hair_mask(find_mesh(astronaut, face_mesh()), person_mask(to_tensor(astronaut))[0, 0].numpy())
    for colour in (skin, np.array([30, 60, 220])):  # bald; a blue hat
        above = astronaut.copy()
        above[hair] = colour.round()
        assert np.isnan(read_traits(to_tensor(above)).hair_l)
    monkeypatch.setattr(Mesh, "yaw", property(lambda _: 0.8))
    profile = read_traits(to_tensor(astronaut))
    assert np.isnan([profile.face_width, profile.nose_width, profile.eye_opening]).all()
    assert profile.yaw == 0.8
    assert np.isfinite(profile.ita)


@pytest.mark.weights
def test_proportions_do_not_know_size_or_turn(astronaut: np.ndarray) -> None:
    mesh = find_mesh(astronaut, face_mesh())
    turn = np.deg2rad(25)
    matrix = 3 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = face_ratios(Mesh(mesh.points @ matrix.T + 40, mesh.presence))
    assert turned == pytest.approx(face_ratios(mesh))
