"""The generator's own pictures as training data: endless, labelled, and of nobody.

Sample `i` of a seed is always the same, whatever else is drawn. Pictures are rendered once into a folder that later
trainings may use again; a rendering that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator
from ..spaces.population import truncated
from ..storage import json_object, read_file, write_atomically

SIZE = 256  # pixels a side of the pictures that are kept
HELD_OUT = 1_000_000  # index of the first sample that is never trained on
SHARD = 100  # pictures a file: what a killed rendering loses at most


def sample_ws(generator: Generator, index: int, seed: int) -> Tensor:
    """ws [L, D] of one sample: every other one in W, the others in W+.

    Truncation is drawn from 0.5 to 1. In W+, the rows fall into two to four runs; each run is drawn towards a face of its
    own by a weight from 0 to 1, so that the rows disagree as they do in an inversion.
    """
    random = torch.Generator().manual_seed(seed * 10_000_019 + index)
    with torch.no_grad():
        z = torch.randn(5, generator.z_dim, generator=random).to(generator.device)
        w = generator.mapping(z).cpu()
    psi, weight = torch.rand(2, generator=random).tolist()
    rows = w[0].repeat(generator.num_ws, 1)
    if index % 2:
        runs = int(torch.randint(2, 5, (1,), generator=random))
        cuts = torch.randperm(generator.num_ws - 1, generator=random)[: runs - 1].sort().values + 1
        for other, part in enumerate(torch.tensor_split(torch.arange(generator.num_ws), cuts), start=1):
            rows[part] = torch.lerp(w[0], w[other], weight)
    return truncated(rows, 0.5 + 0.5 * psi, generator.statistics())


@dataclass(frozen=True)
class Samples:
    """`count` rendered samples in `folder`, as float16 at 256 pixels, not clamped; by preview heads if there are any."""

    folder: Path
    count: int
    seed: int

    def render(self, generator: Generator, progress: Callable[[int], None] = lambda done: None) -> None:
        """Render what is missing. `progress` is told how many pictures there are so far.

        Raises UserError if the folder holds samples of another generator or seed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = {
            "generator": generator.sha256,
            "previews": generator.previews_sha256,
            "seed": self.seed,
            "size": SIZE,
        }
        label = self.folder / "samples.json"
        if label.exists() and json_object(read_file(label)) != identity:
            raise UserError(f"{self.folder} holds samples of another generator or seed. Choose another folder.")
        write_atomically(label, json.dumps(identity).encode())
        for first in range(0, self.count, SHARD):
            if not self._shard(first).exists():
                pictures = []
                for index in range(first, first + SHARD):
                    with torch.no_grad():
                        ws = sample_ws(generator, index, self.seed)[None].to(generator.device)
                        pictures.append(generator.synthesis(ws, resolution=SIZE).half().cpu().numpy())
                    progress(index + 1)
                partial = self._shard(first).with_suffix(".partial.npy")
                np.save(partial, np.concatenate(pictures))
                partial.replace(self._shard(first))
            progress(min(first + SHARD, self.count))

    def images(self) -> np.ndarray:
        """float16 [count, 3, 256, 256], read whole."""
        shards = [np.load(self._shard(first)) for first in range(0, self.count, SHARD)]
        return np.concatenate(shards)[: self.count]

    def _shard(self, first: int) -> Path:
        return self.folder / f"{first:06d}.npy"
