"""Two photographs to try things on, without a picture of anyone being shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ..errors import UserError
from ..image import save_photo_crop, save_synthetic_jpeg, to_uint8
from ..interfaces import Generator
from ..report.run_folder import provenance
from ..spaces.population import sample_w, truncated
from .common import Common, Invocation, open_job

TURN, SIDE, PSI = 9.0, 0.55, 0.7  # degrees; share of the photograph's width; truncation


@dataclass(frozen=True, kw_only=True)
class DemoPhotos(Common):
    def run(self, call: Invocation) -> None:
        """Father: a face that the generator draws. Mother: an astronaut. So nobody's picture ships with this project."""
        folder, _ = open_job(self, call, ())
        generator = self.generator.load(self.device)
        folder.path("father.jpg.json")
        drawn_photograph(folder.path("father.jpg"), generator, self.seed)
        astronaut(folder.path("mother.png"))
        folder.finish("photos.json", provenance(generator))
        print(f"photographs: {folder.root}")


def draw_face(generator: Generator, seed: int) -> np.ndarray:
    """uint8 [R, R, 3]: a sample of W, pulled to its mean by PSI."""
    w = truncated(sample_w(generator, 1, seed)[1], PSI, generator.statistics()).to(generator.device)
    with torch.no_grad():
        return to_uint8(generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1)))


def drawn_photograph(path: Path, generator: Generator, seed: int) -> None:
    """A drawn face as it would be in a photograph: somewhere in it, a little turned, saved as JPEG."""
    face = draw_face(generator, seed)
    side = face.shape[0]
    width, height = round(side / SIDE), round(side / SIDE * 0.75)
    there = cv2.getRotationMatrix2D((side / 2, side / 2), TURN, 1.0)
    there[:, 2] += (width * 0.45 - side / 2, height * 0.5 - side / 2)
    edge = cv2.BORDER_REPLICATE
    photo = cv2.warpAffine(face, there, (width, height), flags=cv2.INTER_LINEAR, borderMode=edge)
    frame = cv2.warpAffine(np.ones(face.shape[:2], np.float32), there, (width, height))
    inside = cv2.GaussianBlur(cv2.erode(frame, np.ones((9, 9))), (0, 0), 4)[:, :, None]
    background = cv2.GaussianBlur(photo, (0, 0), side / 12)
    photo = np.rint(photo * inside + background * (1 - inside)).astype(np.uint8)
    save_synthetic_jpeg(path, photo, {**provenance(generator), "picture": f"a face drawn by seed {seed}"})


def astronaut(path: Path) -> None:
    """Eileen Collins, photographed by NASA; public domain; carried by scikit-image."""
    try:
        import skimage.data  # here: only the demo needs it
    except ImportError as error:
        raise UserError("the demo's photograph comes with scikit-image: pip install 'gan-inversion[demo]'") from error
    save_photo_crop(path, skimage.data.astronaut())
