"""Directions in files: this project's own, and published ones in the formats that they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..assets.trained import load_trained, save_tensors, whole
from ..checkpoints.arrays import read_arrays
from ..checkpoints.projected import is_foreign
from ..errors import UserError, suggestion
from ..image import area_resize
from ..interfaces import Generator
from ..latents import hash_of_ws
from ..spaces.p_space import from_p, to_p
from ..storage import expanded
from .reader import Reader, from_tensors, to_tensors
from .regions import REGIONS
from .scene_reader import SceneReader
from .scene_reader import from_tensors as scene_from
from .scene_reader import to_tensors as scene_to

MASK = 64  # pixels of stored masks
DIRECTIONS, REGIONS_FILE = "directions", "regions"  # what their files say they are


@dataclass(frozen=True)
class Directions:
    """Named steps, straight in P for those found here, straight in W for closed-form and published ones.

    `deviations`: what a step of 1 changes in the label, in its unit, where that is known.
    """

    vectors: Mapping[str, Tensor]  # name -> [D], or [L, D] when published with a step for each row
    deviations: Mapping[str, float] = field(default_factory=dict)
    space: str = "w"  # or p
    reader: Reader | None = None  # of age and gender; what steering goes by
    scene: SceneReader | None = None  # of pose, eyes and glasses
    sha256: str = ""  # of the file

    def require_reader(self) -> Reader:
        """Raises UserError if these directions came without one."""
        if self.reader is None or not {"age", "gender"} <= set(self.deviations):
            raise UserError(
                "steering needs directions for age and gender with their reader, as scripts/find_directions.py writes; "
                "published and closed-form directions cannot steer. Set child.age=null child.gender=null."
            )
        return self.reader

    def move(self, ws: Tensor, steps: Mapping[str, float]) -> Tensor:
        """ws [L, D] moved by a number of steps along each of some directions."""
        step = torch.stack([size * self[name].expand(ws.shape) for name, size in steps.items()]).sum(0)
        return from_p(to_p(ws) + step) if self.space == "p" else ws + step

    def __getitem__(self, name: str) -> Tensor:
        """Raises UserError, naming what there is, if there is no such direction."""
        if name not in self.vectors:
            hint = suggestion(name, self.vectors)
            more = "" if "Known:" in hint else f" Known: {', '.join(self.vectors)}."
            raise UserError(f"no direction called {name}.{hint}{more}")
        return self.vectors[name]


def save_directions(path: Path, directions: Directions, generator: Generator, facts: Mapping[str, Any]) -> None:
    """As float32, with the generator they belong to and how they were found."""
    more = {**facts, "deviations": dict(directions.deviations), "space": directions.space}
    tensors = {f"direction.{name}": vector for name, vector in directions.vectors.items()}
    if directions.reader:
        tensors |= {f"reader.{name}": tensor for name, tensor in to_tensors(directions.reader).items()}
    if directions.scene:
        tensors |= {f"scene.{name}": tensor for name, tensor in scene_to(directions.scene).items()}
    save_tensors(path, DIRECTIONS, tensors, generator, more)


def load_directions(path: str, generator: Generator) -> Directions:
    """A catalogue entry or a file: .safetensors of this project, or .npy, .npz or .pt with one published direction.

    A published direction takes its file's name; [D] or [1, D] moves all rows alike, [L, D] each row by its own step, and
    18 rows of StyleGAN2 at 1024 pixels fit a generator of 16 rows that shares its W (the last row is to_img's). They are
    read without running anything. Raises UserError if a file is missing, is no direction, or does not fit.
    """
    if not is_foreign(path):
        trained = load_trained(path, DIRECTIONS, generator)
        vectors = _part(trained.tensors, "direction.")
        reader, scene = (_part(trained.tensors, f"{part}.") for part in ("reader", "scene"))
        with whole(path, DIRECTIONS):
            _check(vectors, ((generator.w_dim,), (generator.num_ws, generator.w_dim)))
            space = {"w": "w", "p": "p"}[trained.facts["space"]]
            deviations = {str(name): float(value) for name, value in trained.facts["deviations"].items()}
            made = from_tensors(reader) if reader else None
            sees = scene_from(scene) if scene else None
            return Directions(vectors, deviations, space, made, sees, trained.sha256)
    arrays = read_arrays(expanded(path))
    if len(arrays) != 1:
        raise UserError(f"{path}: it holds {len(arrays)} arrays of numbers; a published direction is one.")
    (vector,) = (array.squeeze() for array in arrays.values())
    if vector.ndim == 2 and len(vector) == generator.num_ws + 2:
        vector = torch.cat([vector[: generator.num_ws - 1], vector[-1:]])
    if vector.shape not in ((generator.w_dim,), (generator.num_ws, generator.w_dim)):
        raise UserError(
            f"{path}: its shape {list(vector.shape)} does not fit {generator.name}, which has {generator.num_ws} rows of "
            f"{generator.w_dim} numbers."
        )
    if not vector.isfinite().all():
        raise UserError(f"{path}: some of its numbers are not finite.")
    return Directions({Path(path).stem: vector}, sha256=hash_of_ws(vector))


@dataclass(frozen=True)
class Regions:
    """Which styles make which region, and where the regions lie."""

    choice: Mapping[str, Tensor]  # region -> [S], 1 for its own styles, else 0
    masks: Tensor  # [6, H, W]: share of faces in which a pixel belongs to each region, the rest of the picture last
    sha256: str = ""


def save_regions(path: Path, regions: Regions, generator: Generator, facts: Mapping[str, Any]) -> None:
    """Choices as bytes, masks at 64 pixels."""
    tensors = {f"choice.{name}": choice.to(torch.uint8) for name, choice in regions.choice.items()}
    save_tensors(
        path, REGIONS_FILE, {**tensors, "masks": area_resize(regions.masks[None], MASK)[0].half()}, generator, facts
    )


def load_regions(path: str, generator: Generator) -> Regions:
    """A catalogue entry or a .safetensors file. Raises UserError if it is missing or another generator's."""
    trained = load_trained(path, REGIONS_FILE, generator)
    choice = _part(trained.tensors, "choice.")
    with whole(path, REGIONS_FILE):
        _check({region: choice[region] for region in REGIONS}, (tuple(generator.style_rows.shape),))
        masks = trained.tensors["masks"]
        _check({"masks": masks[:, 0, 0]}, ((len(REGIONS) + 1,),))
        return Regions(choice, masks, trained.sha256)


def _check(tensors: Mapping[str, Tensor], shapes: Sequence[tuple[int, ...]]) -> None:
    """Raises ValueError for another shape than one of `shapes`, and where there is no tensor at all."""
    wrong = {name: list(tensor.shape) for name, tensor in tensors.items() if tuple(tensor.shape) not in shapes}
    if wrong or not tensors:
        raise ValueError(f"its shapes {wrong} are not {' or '.join(map(str, shapes))}")


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in sorted(tensors.items()) if name.startswith(prefix)}
