"""How a face was photographed, read from what dlib's network sees of it: pose, smile, open eyes, glasses. Differentiable.

A linear function of the activations behind the network's second halving, 128 channels at 8 by 8 places, which a search for
an age looks at anyway. Fitted to the face mesh's labels of samples, and to glasses that somebody saw in their pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..assets.catalogue import checked_path
from ..errors import UserError
from ..estimators.chips import chip
from ..estimators.identity import dlib_resnet
from ..storage import expanded, read_file

LAYER = 1  # of what `DlibResNet.look` hands out
GLASSES = "glasses"
NAMES = ("yaw", "pitch", "smile", "eyes_open", GLASSES)  # `faces.mesh.shape_labels`; and -1 bare, 1 with glasses
RIDGE = 1e-3  # against the mean square of an activation; by cross-validation over samples
LARGEST = 10_000_000  # bytes of a table of marks
PARTS = ("mean", "weight", "offset", "spread")


@dataclass(frozen=True)
class SceneReader:
    """All tensors float32."""

    mean: Tensor  # [C, H, W], of the activations
    weight: Tensor  # [5, C, H, W]
    offset: Tensor  # [5]
    spread: Tensor  # [5], standard deviations of the labels over samples

    def __call__(self, layers: Sequence[Tensor]) -> Tensor:
        """What `DlibResNet.look` saw of the chips [N, 3, 150, 150] -> [N, 5], in the order of NAMES."""
        return self.of(layers[LAYER])

    def of(self, seen: Tensor) -> Tensor:
        """Activations [N, C, H, W] -> [N, 5]."""
        off = (seen - self.mean.to(seen)).flatten(1)
        return off @ self.weight.to(seen).flatten(1).T + self.offset.to(seen)

    def read(self, image: Tensor) -> dict[str, float]:
        """[1, 3, R, R] in [-1, 1], aligned as FFHQ -> label -> reading."""
        with torch.no_grad():
            layers = dlib_resnet(str(image.device)).look(chip(image, 150))[1]
            return dict(zip(NAMES, self(layers)[0].tolist(), strict=True))


def fit_scene_reader(activations: Tensor, labels: Tensor) -> SceneReader:
    """activations [N, C, H, W], labels [N, 5], NaN where nobody labelled -> a reader: ridge regression, each by itself."""
    shape, mean = activations.shape[1:], activations.mean(0)
    x = (activations - mean).flatten(1)
    gram = x.double() @ x.double().T / x.shape[1]
    weights, offsets, spreads = [], [], []
    for label in labels.double().T:
        known = label.isfinite()
        y = label[known] - label[known].mean()
        ridge = RIDGE * torch.eye(len(y), dtype=torch.float64)
        dual = torch.linalg.solve(gram[known][:, known] + ridge, y) / x.shape[1]
        weights.append((dual.float() @ x[known]).unflatten(0, shape))
        offsets.append(label[known].mean())
        spreads.append(label[known].std())
    return SceneReader(mean, torch.stack(weights), torch.stack(offsets).float(), torch.stack(spreads).float())


def to_tensors(reader: SceneReader) -> dict[str, Tensor]:
    """For a file; the bulk in half precision."""
    tensors = {name: getattr(reader, name) for name in PARTS}
    return {**tensors, "mean": reader.mean.half(), "weight": reader.weight.half()}


def from_tensors(tensors: Mapping[str, Tensor]) -> SceneReader:
    """Raises UserError if a part is missing or of another shape."""
    if not set(PARTS) <= set(tensors) or tensors["weight"].shape != (len(NAMES), *tensors["mean"].shape):
        raise UserError("the reader of pose, eyes and glasses in these directions is not whole.")
    return SceneReader(*(tensors[name].float() for name in PARTS))


def read_marks(path: str) -> dict[int, float]:
    """A catalogue entry or a .csv with the columns sample, glasses (1 or 0) -> number of the sample -> 1 or -1.

    Raises UserError naming the line.
    """
    file = expanded(path) if path.endswith(".csv") else checked_path(path)
    marks: dict[int, float] = {}
    try:
        for row in csv.DictReader(read_file(file, LARGEST).decode().splitlines()):
            sample, glasses = int(row["sample"]), int(row["glasses"])
            if sample < 0 or glasses not in (0, 1):
                raise ValueError(f"{row}")
            marks[sample] = 2.0 * glasses - 1
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: after {len(marks)} rows: {error}. Two columns are needed: sample, glasses.") from None
    if len(set(marks.values())) < 2:
        raise UserError(f"{path}: some faces with glasses and some without are needed.")
    return marks
