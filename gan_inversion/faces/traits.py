"""What people see of heredity in a face, read from its picture: skin, hair, eyes and proportions; and whether a child's lies
between its parents'.

Numbers of one picture in its light, not of a person: compare pictures of one kind, as inversions with children.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..image import area_resize, to_uint8
from .masks import person_mask
from .mesh import CHEEKS, CHIN, FOREHEAD, Mesh, face_mesh, find_mesh, shape_labels
from .patches import SIDE, eye_pixels, hair_mask, iris_pixels, lab_of, skin_pixels

NAN = float("nan")
LEAST_SIDE = 128  # pixels of a picture below which nothing is read
LEAST_PIXELS = {"skin": 200, "hair": 600, "iris": 15}  # at 256 pixels, below which a patch is too small to be read
MOST_YAW = 0.5  # beyond it widths are foreshortened, and proportions are not read
SCALP = 8.0  # CIELAB distance of hair from skin within which there is none to be seen
HAIR_HUES = (10.0, 110.0)  # degrees in a*b*, of hair that has a colour; others are dyed, or a hat's
COLOURED = 12.0  # chroma above which a hue can be told
OPEN_EYES, CONTRAST = 0.15, 15.0  # eyes_open, and L* from dark to light in an eye, below which no iris is seen
EYES_AGREE = 20.0  # CIELAB distance of both irises beyond which a reading is not to be trusted
GROUPS = (  # ITA in degrees above which a skin is called so (Del Bino 2013, doi 10.1111/bjd.12529)
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -math.inf),
)
NOSE_WIDTH, NOSE_LENGTH, BROWS = (48, 278), (168, 2), (105, 334)
LIPS = ((0, 13), (14, 17))  # outer and inner edge of the upper and of the lower, in the middle


@dataclass(frozen=True)
class Traits:
    """Readings of one face; NaN where the picture does not show it. Lengths are ratios, so independent of size."""

    ita: float = NAN  # degrees: individual typology angle, atan2(L* - 50, b*) (Chardon 1991); larger is lighter
    skin_l: float = NAN  # CIELAB of the skin, D65: L*
    skin_a: float = NAN
    skin_b: float = NAN
    hair_l: float = NAN  # L* of the hair above the eyes; smaller is darker
    hair_texture: float = (
        NAN  # 0..1, share of fine structure in the hair's lightness; larger is curlier, or more parted
    )
    iris_l: float = NAN  # CIELAB of both irises
    iris_a: float = NAN
    iris_b: float = NAN
    iris_reliable: bool = False  # whether both eyes are open and agree
    face_width: float = NAN  # between the cheeks' edges / from forehead to chin
    nose_width: float = NAN  # / face width
    nose_length: float = NAN  # / face height
    lip_thickness: float = NAN  # of both, without the opening between them / face height
    mouth_width: float = NAN  # / face width; a smile widens it
    eye_opening: float = NAN  # height / width
    brow_height: float = NAN  # above the eyes' corners / face height
    yaw: float = NAN  # as `mesh.shape_labels`: -1..1, 0 is frontal
    pitch: float = NAN  # larger when looking down
    smile: float = NAN  # width of the mouth / distance of the eyes
    mouth_open: float = NAN  # between the lips / face height

    def describe(self) -> dict[str, float | bool | None]:
        """As JSON values; None where nothing was read."""
        return {name: _told(value) for name, value in asdict(self).items()}


# Heritable readings, with the room that a child has beyond its parents: what one face's reading moves under changes of
# crop, compression and exposure that are no change of the face (docs/children.md), and of skin 8 degrees.
TOLERANCES: Mapping[str, float] = {
    "skin": 8.0,  # ITA, degrees
    "hair_darkness": 6.0,  # L*
    "hair_texture": 0.06,
    "iris": 12.0,  # CIELAB distance
    "face_width": 0.02,
    "nose_width": 0.015,
    "nose_length": 0.015,
    "lip_thickness": 0.01,
    "mouth_width": 0.02,
    "eye_opening": 0.03,
    "brow_height": 0.01,
}
READINGS = {  # trait -> its readings
    "skin": ("ita",),
    "hair_darkness": ("hair_l",),
    "hair_texture": ("hair_texture",),
    "iris": ("iris_l", "iris_a", "iris_b"),
}


def skin_group(ita: float) -> str | None:
    """ITA in degrees -> one of the six names of GROUPS; None for NaN."""
    return next((name for name, above in GROUPS if ita > above), None) if ita == ita else None


def between(
    parents: Sequence[Traits], child: Traits, tolerance: Mapping[str, float] = TOLERANCES
) -> dict[str, bool | None]:
    """Trait -> whether the child's reading is at most `tolerance` away from the way from one parent's to the other's.

    A colour's way is the straight line in CIELAB. None where one of the three was not read.
    """
    told: dict[str, bool | None] = {}
    for trait, room in tolerance.items():
        one, other, own = (_readings(of, trait) for of in (parents[0], parents[-1], child))
        way = other - one
        share = float(np.clip((own - one) @ way / max(float(way @ way), 1e-12), 0, 1))
        off = float(np.linalg.norm(own - one - share * way))
        told[trait] = off <= room if np.isfinite([*one, *other, *own]).all() else None
    return told


@torch.no_grad()
def read_traits(image: Tensor) -> Traits:
    """image [1, 3, R, R] in [-1, 1], aligned as FFHQ -> readings, at 256 pixels whatever R is.

    All are NaN where there is no face, or R < 128. Raises UserError where the networks were not fetched.
    """
    if image.shape[-1] < LEAST_SIDE:
        return Traits()
    small = area_resize(image.detach().cpu().float(), SIDE)
    pixels = to_uint8(small)
    mesh = find_mesh(pixels, face_mesh())
    if mesh.presence < 0:
        return Traits()
    lab = lab_of(pixels)
    skin = _median(skin_pixels(mesh, lab), "skin")
    hair = _hair(lab, hair_mask(mesh, person_mask(small)[0, 0].numpy()), skin)
    lengths = _lengths(mesh)
    iris, reliable = _iris(mesh, lab, lengths["eye_opening"])
    return Traits(
        ita=math.degrees(math.atan2(skin[0] - 50, skin[2])),
        **dict(zip(("skin_l", "skin_a", "skin_b"), skin.tolist(), strict=True)),
        **dict(zip(("hair_l", "hair_texture"), hair, strict=True)),
        **dict(zip(("iris_l", "iris_a", "iris_b"), iris.tolist(), strict=True)),
        iris_reliable=reliable,
        **lengths,
    )


def _hair(lab: np.ndarray, mask: np.ndarray, skin: np.ndarray) -> tuple[float, float]:
    """L* and texture; NaN where there is none, or where it has a colour that hair does not grow in."""
    colour = _median(lab[mask], "hair")
    chroma, hue = math.hypot(colour[1], colour[2]), math.degrees(math.atan2(colour[2], colour[1]))
    odd = chroma > COLOURED and not HAIR_HUES[0] < hue < HAIR_HUES[1]
    if np.isnan(colour).any() or odd or float(np.linalg.norm(colour - skin)) < SCALP:
        return NAN, NAN
    light, weight = lab[..., 0], mask.astype(np.float32)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if int(inner.sum()) < LEAST_PIXELS["hair"]:
        return float(colour[0]), NAN
    fine, all_of_it = (float((light - _blurred(light, weight, sigma))[inner].var()) for sigma in (2.0, 12.0))
    return float(colour[0]), fine / max(all_of_it, 1e-6)


def _iris(mesh: Mesh, lab: np.ndarray, opening: float) -> tuple[np.ndarray, bool]:
    """CIELAB of both eyes' irises, and whether to trust it."""
    eyes = eye_pixels(mesh, lab)
    seen = [len(eye) > 0 and float(np.ptp(np.percentile(eye[:, 0], (5, 95)))) > CONTRAST for eye in eyes]
    if not any(seen) or opening < OPEN_EYES:
        return np.full(3, NAN), False
    colours = np.stack([_median(ring, "iris") for ring in iris_pixels(mesh, lab)])[seen]
    colours = colours[np.isfinite(colours).all(1)]
    if not len(colours):
        return np.full(3, NAN), False
    apart = float(np.linalg.norm(colours[0] - colours[-1]))
    return colours.mean(0), len(colours) == 2 and apart < EYES_AGREE


def _lengths(mesh: Mesh) -> dict[str, float]:
    """The readings of landmarks; widths are NaN where the face is turned far to the side."""
    p = mesh.points

    def length(pair: Sequence[int]) -> float:
        return float(np.linalg.norm(p[pair[0]] - p[pair[1]]))

    yaw, pitch, smile, opening = shape_labels(mesh)
    height, width = max(length((FOREHEAD, CHIN)), 1e-6), max(length(CHEEKS), 1e-6)
    down = (p[CHIN] - p[FOREHEAD]) / height
    corners = p[[33, 133, 362, 263]].mean(0)
    read = {
        "face_width": width / height,
        "nose_width": length(NOSE_WIDTH) / width,
        "nose_length": length(NOSE_LENGTH) / height,
        "lip_thickness": sum(map(length, LIPS)) / height,
        "mouth_width": length((61, 291)) / width,
        "eye_opening": opening,
        "brow_height": float((corners - p[list(BROWS)].mean(0)) @ down) / height,
        "smile": smile,
    }
    if abs(yaw) > MOST_YAW:
        read = dict.fromkeys(read, NAN)
    return {**read, "yaw": yaw, "pitch": pitch, "mouth_open": length((13, 14)) / height}


def _median(pixels: np.ndarray, patch: str) -> np.ndarray:
    """[N, 3] -> [3]; NaN if they are too few."""
    return np.median(pixels, 0).astype(float) if len(pixels) >= LEAST_PIXELS[patch] else np.full(3, NAN)


def _blurred(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of the weighted neighbourhood: nothing from outside the mask comes in."""
    whole = cv2.GaussianBlur(weight, (0, 0), sigma)
    blurred: np.ndarray = cv2.GaussianBlur(values * weight, (0, 0), sigma) / np.maximum(whole, 1e-3)
    return blurred


def _readings(of: Traits, trait: str) -> np.ndarray:
    return np.array([getattr(of, name) for name in READINGS.get(trait, (trait,))], float)


def _told(value: Any) -> float | bool | None:
    return value if isinstance(value, bool) else round(float(value), 4) if math.isfinite(value) else None
