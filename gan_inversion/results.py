"""What notebooks get, and how it shows itself there."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .image import resized, save_synthetic, synthetic_bytes
from .interfaces import Inversion, Latents
from .latents import load_all_latents
from .report.run_folder import SUMMARIES

# The first there is shown.
SHEETS = (
    "contact_sheet.png",
    "family_tree.png",
    "atlas.png",
    "partners.png",
    "strip.png",
    "child_00.png",
)  # the first there is shown
FILMS = ("walk.mp4", "edit.mp4")
SHOWN = 512  # pixels of a picture in a notebook, at most; what is saved is whole


@dataclass(frozen=True)
class Picture:
    """A face that a generator drew. A notebook shows it; `save` writes it marked as synthetic."""

    latents: Latents
    pixels: np.ndarray = field(repr=False)  # uint8 [R, R, 3]
    facts: dict[str, Any] = field(default_factory=dict, repr=False)  # of its making

    def save(self, path: str | Path) -> None:
        """A PNG, with a JSON file beside it that says so too."""
        save_synthetic(path, self.pixels, self.facts)

    def _repr_png_(self) -> bytes:
        side = min(SHOWN, len(self.pixels))
        return synthetic_bytes(resized(self.pixels, side, side), self.facts)  # notebooks are passed on: marked too


@dataclass(frozen=True)
class Run:
    """What a command left in its folder. A notebook shows its film, or else its sheet."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """family.json, walk.json or whatever the command writes last."""
        path = next(self.folder / name for name in SUMMARIES if (self.folder / name).is_file())
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    @property
    def files(self) -> dict[str, Path]:
        """Name -> path of each file that the run lists as its own."""
        return {name: self.folder / name for name in self.summary["files"]}

    @cached_property
    def latents(self) -> dict[str, Inversion]:
        """father, mother, child_00, ...: of runs that store latents. Raises UserError for others."""
        return load_all_latents(self.folder / "latents.safetensors")

    def _repr_png_(self) -> bytes | None:
        path = next((self.files[name] for name in SHEETS if name in self.files), None)
        return path.read_bytes() if path else None

    def _repr_html_(self) -> str | None:
        path = next((self.files[name] for name in FILMS if name in self.files), None)
        if path is None:
            return None
        film = base64.b64encode(path.read_bytes()).decode()
        return f'<video controls loop muted src="data:video/mp4;base64,{film}"></video>'
