"""The points of a map of faces: stored ones among samples of the population, where they lie, and who is near whom."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...errors import UserError
from ...estimators.identity import DlibResNet
from ...image import to_tensor, to_uint8
from ...interfaces import Generator, Inversion, WStatistics
from ...latents import OtherContentError, check_shape, hash_of_latents, load_all_latents, render
from ...spaces.population import sample_w
from ...storage import expanded

log = logging.getLogger(__name__)

SIZE = 256  # pixels a side of the pictures: enough to look at, and the generator's cheap size
PARENTS = ("father", "mother")
FACE_WEIGHT = 1e4  # of a stored face against a sample: enough that even siblings, who differ little, set the axes
METHODS, DIMENSIONS = ("pca", "umap"), (2, 3)

Neighbours = list[list[tuple[int, float]]]  # for each face (index of another, distance), nearest first


@dataclass(frozen=True)
class Point:
    """One face of the map."""

    name: str  # unique on the map
    inversion: Inversion
    path: Path | None = None  # where it is stored; None: a sample of the population
    parents: tuple[str, ...] = ()  # names of other points


def find_faces(places: Sequence[str], generator: Generator) -> list[Point]:
    """The faces in files of stored latents; of a folder, in all that are inside, at any depth.

    Files in a folder that hold something else (traces, trained parts) are left out with a message. Raises UserError for
    what does not exist, for a named file that holds something else, for another generator's latents, and for no face.
    """
    faces: list[Point] = []
    used: set[str] = set()
    for path, label, named in _files(places):
        try:
            found = load_all_latents(path)
        except OtherContentError:
            if named:
                raise
            log.info("%s: no file of stored latents, left out", path)
            continue
        if not found or any(one.ws.shape != (generator.num_ws, generator.w_dim) for one in found.values()):
            if named:
                raise UserError(
                    f"{path}: holds no latents of {generator.name}. Give files written by invert or family."
                )
            log.info("%s: no latents, left out", path)
            continue
        if any(one.generator_sha256 != generator.sha256 for one in found.values()):
            raise UserError(f"{path}: these latents belong to another generator. Choose it, or leave the file out.")
        for name, one in found.items():
            check_shape(one.latents, generator, f"{path}: {name}")
        names = _names(label, found)
        while used & set(names.values()):
            label += "_2"
            names = _names(label, found)
        used |= set(names.values())
        family = tuple(names[parent] for parent in PARENTS) if set(PARENTS) <= set(found) else ()
        faces += [
            Point(names[name], one, path, family if name.startswith("child_") else ()) for name, one in found.items()
        ]
    if not faces:
        raise UserError(f"latents={list(places)}: no stored latents there. Give files written by invert or family.")
    return faces


def _names(label: str, found: Iterable[str]) -> dict[str, str]:
    """Name in the file -> name on the map."""
    return {name: label if list(found) == ["ws"] else f"{label}/{name}" for name in found}


def _files(places: Sequence[str]) -> list[tuple[Path, str, bool]]:
    """(path, label, was it named itself), each file once. A run's `latents.safetensors` is called as its folder."""
    files: dict[Path, tuple[Path, str, bool]] = {}
    for place in map(expanded, places):
        if not place.exists():
            raise UserError(f"{place}: no such file or folder.")
        inside = sorted(place.rglob("*.safetensors")) if place.is_dir() else [place]
        for path in inside:
            label = path.relative_to(place).with_suffix("").as_posix() if place.is_dir() else path.stem
            if path.stem == "latents":
                label = label.rpartition("/")[0] or path.resolve().parent.name
            files.setdefault(path.resolve(), (path, label, not place.is_dir()))
    return list(files.values())


def population(generator: Generator, count: int, seed: int) -> list[Point]:
    """Samples of W, called sample 0, sample 1, ..."""
    ws = sample_w(generator, count, seed)[1][:, None].repeat(1, generator.num_ws, 1)
    return [Point(f"sample {i}", Inversion(one, generator.sha256)) for i, one in enumerate(ws)]


def hashes(faces: Sequence[Point]) -> dict[str, str]:
    """Name -> what tells these latents from others."""
    return {face.name: hash_of_latents(face.inversion.latents) for face in faces}


def whitened(points: Sequence[Point], statistics: WStatistics) -> Tensor:
    """[N, D] float64: the mean row of ws along the axes of W, in standard deviations; the population is close to N(0, I).

    Style offsets do not show here: they are no part of W.
    """
    w = torch.stack([point.inversion.ws.mean(0) for point in points]).double()
    std = statistics.w_std.double().clamp_min(1e-4)  # as spaces/w_plus.py: some axes may have no variance
    return (w - statistics.mean.double()) @ statistics.w_axes.double() / std


def check_projection(method: str, dimensions: int, points: int) -> None:
    """Raises UserError for what `project` cannot do."""
    if method not in METHODS:
        raise UserError(f"method={method}: choose one of {', '.join(METHODS)}.")
    if dimensions not in DIMENSIONS:
        raise UserError(f"dimensions={dimensions}: choose 2 or 3.")
    if points <= dimensions:
        raise UserError(f"{points} points span no map of {dimensions} dimensions. Give more latents or samples.")


def project(x: Tensor, faces: int, method: str, dimensions: int, seed: int) -> tuple[Tensor, list[float]]:
    """x [N, D], stored faces first -> coordinates [N, dimensions], and for PCA the share of the stored faces' variance.

    The axes are those along which the stored faces differ most; samples only fill what these leave open. Among whitened
    samples no axis is longer than another: PCA of all points alike turns towards its outliers, at 2 % an axis.
    UMAP (McInnes 2018, arXiv 1802.03426) sees all points alike, and starts from the PCA, so both maps have the same sides.
    Raises UserError for what cannot be done, or if UMAP is not installed.
    """
    check_projection(method, dimensions, len(x))
    weights = torch.ones(len(x), 1, dtype=x.dtype)
    weights[:faces] = FACE_WEIGHT
    centred = x - (weights * x).sum(0) / weights.sum()
    axes = torch.linalg.svd(centred * weights.sqrt(), full_matrices=False)[2][:dimensions]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    coordinates = centred @ (axes * largest.sign()).T  # an axis has no sign of its own: its largest part is positive
    if method == "umap":
        return _umap(x, coordinates, seed), []
    spread, whole = (part[:faces].var(0, unbiased=False) for part in (coordinates, x))
    return coordinates, (spread / whole.sum().clamp_min(1e-12)).tolist()


def _umap(x: Tensor, start: Tensor, seed: int) -> Tensor:
    try:
        import umap
    except ModuleNotFoundError as error:
        raise UserError('method=umap needs umap-learn. Run: pip install "umap-learn"') from error
    start = start / start.abs().max().clamp_min(1e-12) * 10  # the size that UMAP gives its own starts
    mapper = umap.UMAP(
        n_components=start.shape[1],
        n_neighbors=min(15, len(x) - 1),
        init=start.float().numpy(),
        random_state=seed,
        n_jobs=1,  # the same bits each time
    )
    return torch.from_numpy(np.asarray(mapper.fit_transform(x.float().numpy()))).double()


def nearest(vectors: Tensor, count: int) -> Neighbours:
    """vectors [N, ...] -> the `count` nearest others of each, Euclidean; of equally near ones the first."""
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
    values, order = distances.sort(stable=True)
    count = min(count, len(vectors) - 1)
    return [list(zip(o[:count].tolist(), v[:count].tolist(), strict=True)) for o, v in zip(order, values, strict=True)]


def draw_all(points: Sequence[Point], generator: Generator) -> list[np.ndarray]:
    """uint8 [R, R, 3] each, R = 256 or the generator's own if that is smaller; one by one, so each is itself alone."""
    bar = tqdm(points, desc="drawing", unit="face", disable=None)
    return [to_uint8(render(generator, point.inversion.latents, SIZE)) for point in bar]


@torch.no_grad()
def embed_all(pictures: Sequence[np.ndarray], network: DlibResNet, device: str) -> Tensor:
    """uint8 pictures, aligned as FFHQ -> [N, 128] on the CPU."""
    bar = tqdm(pictures, desc="identity", unit="face", disable=None)
    return torch.cat([network.embed(to_tensor(picture).to(device)).cpu() for picture in bar])


def describe_points(
    points: Sequence[Point], coordinates: Tensor, neighbours: dict[str, Neighbours]
) -> list[dict[str, Any]]:
    """What atlas.json says of each point. `neighbours`: by what -> those of the stored faces, which are the first points."""
    rows = []
    for i, point in enumerate(points):
        row: dict[str, Any] = {"name": point.name, "coordinates": [round(c, 6) for c in coordinates[i].tolist()]}
        if point.path:
            near = {
                by: [{"name": points[j].name, "distance": round(d, 6)} for j, d in found[i]]
                for by, found in neighbours.items()
            }
            row |= {"file": point.path.name, "parents": list(point.parents), "neighbours": near}
        rows.append(row)
    return rows
