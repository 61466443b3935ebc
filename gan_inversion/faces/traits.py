"""What people see of heredity in a face, read from its picture: skin, hair, eyes and proportions; and whether a child's lies
between its parents'.

Numbers of one picture in its light, not of a person: compare pictures of one kind, as inversions with children.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..image import area_resize, to_uint8
from .masks import person_mask
from .mesh import Mesh, face_mesh, face_ratios, find_mesh, shape_labels
from .patches import SIDE, eye_pixels, hair_mask, iris_pixels, lab_of, skin_pixels, texture

NAN = float("nan")
LEAST_SIDE = 128  # pixels of a picture below which nothing is read
LEAST_PIXELS = {"skin": 200, "hair": 600, "iris": 15}  # at 256 pixels, below which a patch is too small to be read
VERSION = 1  # of the arithmetic here and in patches: kept readings of another are not used
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


@dataclass(frozen=True)
class Traits:
    """Readings of one face; NaN where the picture does not show it. Lengths are ratios, so independent of size."""

    ita: float = NAN  # degrees: individual typology angle, atan2(L* - 50, b*) (Chardon 1991); larger is lighter
    skin_l: float = NAN  # CIELAB of the skin, D65: L*
    skin_a: float = NAN
    skin_b: float = NAN
    hair_l: float = NAN  # L* of the hair above the eyes; smaller is darker
    hair_texture: float = NAN  # 0..1, share of strands and small curls in the variance of the hair's lightness
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

    def describe(self) -> dict[str, float | bool | str | None]:
        """As JSON values; None where nothing was read."""
        return {**{name: _told(value) for name, value in asdict(self).items()}, "skin_group": skin_group(self.ita)}

    @property
    def is_empty(self) -> bool:
        """Nothing was read: no face, or a picture too small for one."""
        return math.isnan(self.pitch)


UNREAD = Traits()
# Heritable readings, with the room that a child has beyond its parents. Skin: stated. The others: 1.4 times (there are two
# readings) what 95 % of readings move by when a picture is shifted by 1 %, enlarged by 1 %, saved as JPEG of quality 75, or
# exposed 0.2 stops more or less (docs/children.md).
TOLERANCES: Mapping[str, float] = {
    "skin": 8.0,  # ITA, degrees
    "hair_darkness": 4.5,  # L*
    "hair_texture": 0.013,
    "iris": 6.0,  # CIELAB distance
    "face_width": 0.009,
    "nose_width": 0.005,
    "nose_length": 0.003,
    "lip_thickness": 0.003,
    "mouth_width": 0.009,
    "eye_opening": 0.012,
    "brow_height": 0.003,
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
        one, other, own = (of_trait(of, trait) for of in (parents[0], parents[-1], child))
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
        return UNREAD
    small = area_resize(image.detach().cpu().float(), SIDE)
    pixels = to_uint8(small)
    mesh = find_mesh(pixels, face_mesh())
    if mesh.presence < 0:
        return UNREAD
    lab = lab_of(pixels)
    skin = _median(skin_pixels(mesh, lab), "skin")
    hair = _hair(lab, hair_mask(mesh, person_mask(small)[0, 0].numpy()), skin)
    yaw, pitch, smile, opening = shape_labels(mesh)
    iris, reliable = _iris(mesh, lab, opening)
    ratios = {**face_ratios(mesh), "eye_opening": opening, "smile": smile}
    opened = ratios.pop("mouth_open")
    if abs(yaw) > MOST_YAW:
        ratios = dict.fromkeys(ratios, NAN)
    return Traits(
        ita=math.degrees(math.atan2(skin[0] - 50, skin[2])),
        **dict(zip(("skin_l", "skin_a", "skin_b"), skin.tolist(), strict=True)),
        **dict(zip(("hair_l", "hair_texture"), hair, strict=True)),
        **dict(zip(("iris_l", "iris_a", "iris_b"), iris.tolist(), strict=True)),
        iris_reliable=reliable,
        **ratios,
        yaw=yaw,
        pitch=pitch,
        mouth_open=opened,
    )


def _hair(lab: np.ndarray, mask: np.ndarray, skin: np.ndarray) -> tuple[float, float]:
    """L* and texture; NaN where there is none, or where it has a colour that hair does not grow in."""
    colour = _median(lab[mask], "hair")
    chroma, hue = math.hypot(colour[1], colour[2]), math.degrees(math.atan2(colour[2], colour[1]))
    odd = chroma > COLOURED and not HAIR_HUES[0] < hue < HAIR_HUES[1]
    if np.isnan(colour).any() or odd or float(np.linalg.norm(colour - skin)) < SCALP:
        return NAN, NAN
    return float(colour[0]), texture(lab[..., 0], mask, LEAST_PIXELS["hair"])


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


def _median(pixels: np.ndarray, patch: str) -> np.ndarray:
    """[N, 3] -> [3]; NaN if they are too few."""
    return np.median(pixels, 0).astype(float) if len(pixels) >= LEAST_PIXELS[patch] else np.full(3, NAN)


def of_trait(of: Traits, trait: str) -> np.ndarray:
    """[1], or [3] of a colour in CIELAB: the readings of one of TOLERANCES' traits."""
    return np.array([getattr(of, name) for name in READINGS.get(trait, (trait,))], float)


def _told(value: Any) -> float | bool | None:
    return value if isinstance(value, bool) else round(float(value), 4) if math.isfinite(value) else None
