"""Photograph -> aligned face: detect, choose, refine, crop; and for prepared crops, check that they are aligned."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from ..errors import UserError
from ..image import Photo, resized, save_photo_crop
from ..interfaces import AlignedFace
from .crop import crop_quad, ffhq_quad, quad_side
from .detect import MTCNN, Detection
from .mesh import FaceMesh, Mesh

log = logging.getLogger(__name__)

PROFILE_YAW = 0.45  # beyond it the far eye is foreshortened and the FFHQ crop is off by more than 5 %

LOW_SCORE = 0.97  # MTCNN; faces at or above it are almost never false boxes
WHOLE_PRESENCE = (
    12.0  # logit; whole upright faces measured at 19 and above, covered, cut-off or lying ones mostly below
)
DOUBT = 0.035  # sides; right faces measured 0.004-0.03, faces on their side 0.04-0.2


@dataclass(frozen=True)
class Found:
    """A face in a photograph, ready to be cropped."""

    detection: Detection
    mesh: Mesh | None
    quad: np.ndarray  # [4, 2]
    doubt: float  # how far detector and mesh disagree, in sides; without a mesh, 1 - score


@dataclass(frozen=True)
class FFHQ:
    """Any photograph -> FFHQ crop of `size` pixels (0: to be set to the generator's resolution by `build.build_aligner`).

    landmarks: "mesh" (default) refines the detector's five points; "mtcnn" uses them as they are.
    min_side: smallest crop side in pixels of the photograph that is accepted.
    """

    name: ClassVar[str] = "ffhq"

    size: int = 0
    landmarks: str = "mesh"
    min_side: int = 100

    def __post_init__(self) -> None:
        if self.landmarks not in ("mesh", "mtcnn"):
            raise UserError(f"aligner.landmarks={self.landmarks}: choose mesh or mtcnn")

    @cached_property
    def _detector(self) -> MTCNN:
        return MTCNN()

    @cached_property
    def _mesh(self) -> FaceMesh:
        return FaceMesh()

    def find(self, photo: Photo) -> list[Found]:
        """All faces, from left to right.

        Upright first. A face lying on its side is found too, but with landmarks in wrong places: then detector and mesh
        disagree, the photograph is searched on its other sides as well, and the side with the least doubt is taken.
        """
        best: list[Found] = []
        for turn in (0, 90, 270, 180):
            faces = self._find(photo, turn)
            if _doubt(faces) < DOUBT:
                return faces
            if _doubt(faces) < _doubt(best):
                best = faces
        return best

    def _find(self, photo: Photo, turn: int) -> list[Found]:
        faces = []
        for detection in self._detector(photo.pixels, turn):
            if self.landmarks == "mtcnn":
                quad = ffhq_quad(detection.points[:2], detection.points[3:])
                faces.append(Found(detection, None, quad, 1 - detection.score))
                continue
            mesh = self._mesh(photo.pixels, detection.points)
            quad = ffhq_quad(mesh.eyes, mesh.mouth)
            apart = np.concatenate([mesh.eyes, mesh.mouth]) - detection.points[[0, 1, 3, 4]]
            doubt = float(np.hypot(*apart.T).mean()) / quad_side(quad)
            if mesh.presence >= 0 or doubt < DOUBT:  # else neither network believes in it
                faces.append(Found(detection, mesh, quad, doubt if mesh.presence > WHOLE_PRESENCE else doubt + 0.1))
        return faces

    def __call__(self, photo: Photo, name: str, face: int | None = None, preview: Path | None = None) -> AlignedFace:
        """The largest face, or number `face` from the left, counting from 0.

        With a choice to make, a numbered preview is written to `preview` and the log says which was taken. Raises
        UserError when there is no face, no such number, or too few pixels.
        """
        faces = self.find(photo)
        if not faces:
            raise UserError(
                f"{photo.name}: no face found. Use a photograph in which the face is at least "
                f"{self.min_side} pixels wide, sharp and not turned away; prepared crops go with aligner=prealigned."
            )
        index = max(range(len(faces)), key=lambda i: quad_side(faces[i].quad)) if face is None else face
        if len(faces) > 1:
            where = f", numbered in {preview}" if preview else ""
            if preview:
                save_photo_crop(preview, draw_numbers(photo.pixels, faces))
            log.info("%s: %d faces%s; %s is number %d", photo.name, len(faces), where, name, index)
        if not 0 <= index < len(faces):
            raise UserError(f"{photo.name}: there is no face {face}; it has {len(faces)}, counted from 0 at the left.")
        chosen = faces[index]
        side = quad_side(chosen.quad)
        if side / photo.reduced < self.min_side:
            raise UserError(
                f"{photo.name}: the face is too small: its crop has {side / photo.reduced:.0f} pixels a side, "
                f"{self.min_side} are needed. Use a larger photograph, or lower aligner.min_side."
            )
        remarks = tuple(_remarks(photo.name, chosen, side, self.size))
        if len(faces) > 1 and face is None:
            remarks += (f"{photo.name}: {len(faces)} faces; number {index} from the left is taken, the largest.",)
        for remark in remarks:
            log.warning(remark)
        pixels = crop_quad(photo.pixels, chosen.quad, self.size)
        quad = tuple((float(x), float(y)) for x, y in chosen.quad / photo.reduced)
        return AlignedFace(pixels, name, photo.sha256, quad, remarks)


@dataclass(frozen=True)
class Prepared:
    """`aligner=prealigned`: the picture is a crop already. `check` measures how far it is from FFHQ's and warns."""

    name: ClassVar[str] = "prealigned"

    size: int = 0
    check: bool = True
    tolerance: float = 0.05  # of the side, mean distance of the corners

    def __call__(self, photo: Photo, name: str, face: int | None = None, preview: Path | None = None) -> AlignedFace:
        """Raises UserError if the picture is not square within 2 %, or if a face number is given."""
        if face is not None:
            raise UserError(f"{name}_face={face} needs aligner=ffhq: a prepared crop has one face.")
        height, width = photo.pixels.shape[:2]
        if abs(height - width) > 0.02 * max(height, width):
            raise UserError(
                f"{photo.name}: {width}x{height} is not square. Drop aligner=prealigned to have the face aligned."
            )
        pixels = resized(photo.pixels, self.size, self.size)
        remarks = tuple(self._offset(photo)) if self.check else ()
        for remark in remarks:
            log.warning(remark)
        return AlignedFace(np.ascontiguousarray(pixels), name, photo.sha256, (), remarks)

    @cached_property
    def _finder(self) -> FFHQ:
        return FFHQ(self.size)

    def _offset(self, photo: Photo) -> list[str]:
        faces = self._finder.find(photo)
        if not faces:
            return [f"{photo.name}: aligner=prealigned, but no face was found to check its alignment by."]
        height, width = photo.pixels.shape[:2]
        frame = np.array([[0, 0], [0, height], [width, height], [width, 0]]) - 0.5
        quad = max(faces, key=lambda found: quad_side(found.quad)).quad
        error = float(np.hypot(*(quad - frame).T).mean()) / width
        if error <= self.tolerance:
            return []
        shift = (quad.mean(0) - frame.mean(0)) / width
        across = quad[3] - quad[0]
        angle = float(np.rad2deg(np.arctan2(across[1], across[0])))
        return [
            f"{photo.name}: not aligned as FFHQ: the face is off by {error:.0%} of the side "
            f"(shift {shift[0]:+.0%}, {shift[1]:+.0%}; scale {quad_side(quad) / width:.2f}; turn {angle:+.0f} degrees). "
            "Drop aligner=prealigned to have it aligned."
        ]


def _doubt(faces: list[Found]) -> float:
    """That of the surest face; no face is beyond doubt."""
    return min((found.doubt for found in faces), default=1.0)


def _remarks(photo: str, found: Found, side: float, size: int) -> list[str]:
    remarks = []
    if side < size / 4:
        remarks.append(f"{photo}: the face has only {side:.0f} pixels a side; the inversion will be blurred.")
    if found.mesh is not None:
        if abs(found.mesh.yaw) > PROFILE_YAW:
            remarks.append(f"{photo}: the face is turned to the side; a frontal photograph will be recognised better.")
        if found.mesh.presence < WHOLE_PRESENCE:
            remarks.append(f"{photo}: the face seems covered or cut off; the hidden part will be invented.")
    elif found.detection.score < LOW_SCORE:
        remarks.append(f"{photo}: the detector is unsure that this is a face (score {found.detection.score:.2f}).")
    return remarks


def draw_numbers(pixels: np.ndarray, faces: list[Found]) -> np.ndarray:
    """The photograph, at most 1200 pixels wide, with each face's square and number."""
    scale = min(1.0, 1200 / max(pixels.shape[:2]))
    canvas = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for number, found in enumerate(faces):
        corners = np.rint(found.quad * scale).astype(np.int32)
        cv2.polylines(canvas, [corners], True, (255, 220, 0), 2, cv2.LINE_AA)
        size = max(0.5, quad_side(found.quad) * scale / 200)
        cv2.putText(
            canvas,
            str(number),
            tuple(int(v) for v in corners[1] + [6, -8]),
            cv2.FONT_HERSHEY_SIMPLEX,
            size,
            (255, 220, 0),
            max(1, round(2 * size)),
            cv2.LINE_AA,
        )
    return canvas
