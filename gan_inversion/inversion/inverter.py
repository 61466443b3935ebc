"""Everything an inversion needs, in one object: generator, space, start, losses, optimiser, and its identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..image import area_resize, to_tensor
from ..interfaces import AlignedFace, Generator, Inversion, LatentSpace, Loss, OnStep, Start
from ..losses.lpips import LPIPS
from ..losses.pixel import Pixel
from ..losses.prior import PNorm, RowDistance
from ..spaces.w_plus import WPlus
from .loop import Optimiser, invert
from .starts import FromInversion, Mean


@dataclass(frozen=True)
class Inverter:
    """`inverter(faces, seeds)` recovers latents; `inverter.key(face, seed)` names the result before it exists."""

    generator: Generator
    space: LatentSpace
    start: Start
    losses: Mapping[str, Loss]
    optimiser: Optimiser

    def __call__(
        self, faces: Sequence[AlignedFace], seeds: Sequence[int], on_step: OnStep | None = None
    ) -> list[Inversion]:
        """One inversion a face, in order, each with the settings that made it."""
        device = self.generator.device
        targets = torch.cat([area_resize(to_tensor(f.pixels), self.generator.resolution) for f in faces]).to(device)
        names = [face.name for face in faces]
        found = invert(
            self.generator, targets, self.space, self.start, self.losses, self.optimiser, seeds, names, on_step
        )
        return [
            dataclasses.replace(result, settings=self.settings(seed)) for result, seed in zip(found, seeds, strict=True)
        ]

    def settings(self, seed: int) -> dict[str, Any]:
        """Everything but the face that can change the result, down to the last bit."""
        return {
            "generator": self.generator.sha256,
            "space": describe(self.space),
            "start": describe(self.start),
            "losses": {name: describe(loss) for name, loss in self.losses.items()},
            "optimiser": describe(self.optimiser),
            "seed": seed,
            "device": self.generator.device.type,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "dtype": "float32",
            "torch": torch.__version__,
            "gan_inversion": __version__,
        }

    def key(self, face: AlignedFace, seed: int) -> str:
        """Identity of a result: hash of the aligned pixels and the settings; no path, name or runner enters it."""
        start = self.start
        settings = self.settings(seed)
        if isinstance(start, FromInversion):  # its content counts, not its path
            tensors = start(self.generator, torch.zeros(1, device=self.generator.device), face.name, seed)
            settings["start"] = hash_of(tensors.cpu().numpy().tobytes())
        return hash_of(face_bytes(face.pixels) + json.dumps(settings, sort_keys=True).encode())


def describe(component: Any) -> dict[str, Any]:
    """Class and fields of a frozen dataclass, as JSON values."""
    kind = type(component)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **dataclasses.asdict(component)}


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def face_bytes(pixels: np.ndarray) -> bytes:
    """Shape and values of a picture, for hashing."""
    return repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()


def default_inverter(generator: Generator, **optimiser: Any) -> Inverter:
    """The default recipe of `scripts/family.py`, for notebooks; keywords go to `Optimiser`."""
    losses: dict[str, Loss] = {"lpips": LPIPS(), "pixel": Pixel(), "row_distance": RowDistance(), "p_norm": PNorm()}
    return Inverter(generator, WPlus(), Mean(), losses, Optimiser(**optimiser))
