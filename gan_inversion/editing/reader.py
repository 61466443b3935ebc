"""Age and gender read twice: by the classifiers, and by a smooth function of dlib's identity embedding.

The second is kernel ridge regression (Gaussian kernel) of the classifiers' labels over thousands of sampled faces, which
averages out the errors that the classifiers make on single pictures. Steering by the mean of both leaves a search little
room to please one of them by accident: of samples that the classifier alone reads as 6 to 10 years old, an independent
estimator finds half between 4 and 14; of those that both together do, four fifths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.age_gender import age_gender
from ..estimators.identity import dlib_resnet
from ..interfaces import FaceLabels

GAMMA, RIDGE = 0.002, 0.3  # by agreement with the classifiers' labels on samples that were left out
YEARS = 3.0  # ages are regressed as log(age + 3): a year counts more in a child
SURE = 6.9  # log-odds, of 0.001: a classifier may say more than it knows
PARTS = ("mean", "scale", "support", "coefficients", "offset")


@dataclass(frozen=True)
class Reader:
    """What steers. All tensors float64 on the CPU."""

    mean: Tensor  # [E], of the embeddings
    scale: Tensor  # [E]
    support: Tensor  # [M, E], standardised embeddings of the samples
    coefficients: Tensor  # [M, 2]: of log(age + 3), and of the log-odds of male
    offset: Tensor  # [2]

    def __call__(self, image: Tensor) -> FaceLabels:
        """[1, 3, R, R] in [-1, 1], aligned as FFHQ -> age and gender, the mean of both readings (gender: of log-odds)."""
        with torch.no_grad():
            ages, odds = self.both(image)
        odds = odds.clamp(-SURE, SURE)
        return FaceLabels(ages.mean().item(), odds.mean().cpu().double().sigmoid().item())

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 3, R, R] -> ages in years [2], log-odds of male [2]: by the classifiers, by the embedding. Differentiable."""
        age, odds = age_gender(str(image.device)).read(image)
        years, male = self.from_identity(dlib_resnet(str(image.device)).embed(image).cpu())[0].to(age)
        return torch.stack([age[0], years]), torch.stack([odds[0], male])

    def smooth(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """labels [N, K] whose first two are age and log-odds -> the same with those two averaged with this reading."""
        return torch.cat([(labels[:, :2] + self.from_identity(embeddings)) / 2, labels[:, 2:]], 1)

    def from_identity(self, embeddings: Tensor) -> Tensor:
        """[N, E] -> [N, 2]: age in years, log-odds of male, by the embedding alone."""
        x = (embeddings.double() - self.mean) / self.scale
        values = _kernel(x, self.support) @ self.coefficients + self.offset
        return torch.stack([values[:, 0].exp() - YEARS, values[:, 1]], 1)


def fit_reader(embeddings: Tensor, labels: Tensor) -> Reader:
    """embeddings [N, E] and labels [N, 2] (age in years, log-odds of male) of samples -> a reader."""
    x, targets = embeddings.double(), labels.double().clone()
    targets[:, 0] = (targets[:, 0] + YEARS).log()
    mean, scale, offset = x.mean(0), x.std(0).clamp_min(1e-9), targets.mean(0)
    support = ((x - mean) / scale).half().double()  # as it will be stored
    gram = _kernel(support, support) + RIDGE * torch.eye(len(x), dtype=x.dtype)
    return Reader(mean, scale, support, torch.linalg.solve(gram, targets - offset), offset)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (-GAMMA * torch.cdist(a, b).square()).exp()


def to_tensors(reader: Reader) -> dict[str, Tensor]:
    """For a file; the support, which is the bulk, in half precision."""
    tensors = {name: getattr(reader, name).float() for name in PARTS}
    return {**tensors, "support": reader.support.half()}


def from_tensors(tensors: Mapping[str, Tensor]) -> Reader:
    """Raises UserError if a part is missing."""
    if not set(PARTS) <= set(tensors):
        raise UserError("these directions come without the reader of age and gender that steering needs.")
    return Reader(*(tensors[name].double() for name in PARTS))
