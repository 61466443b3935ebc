"""Sample, draw, label: what directions are fitted to. A search that was killed goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..errors import UserError
from ..estimators.identity import dlib_resnet
from ..faces.mesh import FaceMesh
from ..interfaces import Generator
from ..spaces.population import sample_w, truncated
from ..storage import write_atomically
from ..storage.tensors import read_tensors
from .labels import LABELS, label_faces

SIZE = 256  # pixels of the pictures that are labelled
PSI = (0.6, 1.0)  # truncation, drawn for each sample
HELD_OUT = 1_000_003  # added to a seed: samples that no search draws
KEEP = 100  # samples between two writes


@dataclass(frozen=True)
class Labelled:
    w: Tensor  # [N, D]
    labels: Tensor  # [N, 6], float64, in the order of LABELS
    identity: Tensor  # [N, 128], dlib's


def draw_w(generator: Generator, count: int, seed: int) -> Tensor:
    """[count, D]: samples of W, each with a truncation of its own."""
    _, w = sample_w(generator, count, seed)
    low, high = PSI
    psi = low + (high - low) * torch.rand(count, 1, generator=torch.Generator().manual_seed(seed + 1))
    return truncated(w, psi, generator.statistics())


def search(
    generator: Generator,
    count: int,
    seed: int,
    path: Path,
    progress: Callable[[int], None] = lambda done: None,
    replace: bool = False,
) -> Labelled:
    """Label `count` samples, keeping them in `path` on the way.

    Raises UserError if it holds those of another search, unless `replace` lets them go.
    """
    identity = {"generator": generator.sha256, "previews": generator.previews_sha256, "seed": seed, "labels": LABELS}
    note = json.dumps(identity)
    w, mesh = draw_w(generator, count, seed), FaceMesh()
    labels, embeddings = torch.empty(0, len(LABELS), dtype=torch.float64), torch.empty(0, 128)
    if path.exists():
        kept = read_tensors(path)
        if kept.entries.get("search") == note:
            labels, embeddings = kept.tensors["labels"][:count], kept.tensors["identity"][:count]
        elif not replace:
            raise UserError(f"{path} holds the samples of another search. Choose another folder, or overwrite=true.")
    network = dlib_resnet(str(generator.device))
    for first in range(len(labels), count, KEEP):
        for one in w[first : min(first + KEEP, count)]:
            image = render_w(generator, one)
            labels = torch.cat([labels, label_faces(image, mesh)])
            with torch.no_grad():
                embeddings = torch.cat([embeddings, network.embed(image).cpu()])
            progress(len(labels))
        write_atomically(path, save({"labels": labels, "identity": embeddings}, {"search": note}))
    progress(count)
    return Labelled(w, labels, embeddings)


def render_w(generator: Generator, w: Tensor) -> Tensor:
    """w [D] -> [1, 3, 256, 256], or smaller where the generator is."""
    ws = w[None, None].repeat(1, generator.num_ws, 1).to(generator.device)
    with torch.no_grad():
        return generator.synthesis(ws, resolution=min(SIZE, generator.resolution))
