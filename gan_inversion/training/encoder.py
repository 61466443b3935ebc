"""Training of the encoder on the generator's samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import Generator
from ..inversion.encoder import Encoder, encode, look
from ..metrics.reconstruction import compare
from .augment import augment
from .samples import sample_ws

RENDERED = 128  # pixels at which an encoded face is drawn and compared


@dataclass(frozen=True)
class EncoderLoss:
    """Unexplained variance of ws, and for the first `drawn` samples of a batch LPIPS-AlexNet + MSE of what they draw."""

    generator: Generator
    encoder: Encoder
    ws: Tensor  # [count, L, D]
    images: np.ndarray  # float16 [count, 3, 256, 256]
    batch: int
    drawn: int
    image_weight: float

    def __call__(self, step: int, random: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(self.images), (self.batch,), generator=random).tolist()
        others = torch.randint(len(self.images), (self.batch,), generator=random).tolist()
        numbers = np.random.default_rng(int(torch.randint(2**31, (1,), generator=random)))
        seen = [
            augment(_hwc(self.images[i]), _hwc(self.images[j]), numbers) for i, j in zip(chosen, others, strict=True)
        ]
        network = lpips_network("alex")
        faces = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2)
        found = self.encoder(look(faces, network))
        terms = {"latents": unexplained(found, self.ws[chosen], self.generator).mean()}
        total = terms["latents"]
        if self.drawn:
            image = torch.cat([self.generator.synthesis(row[None], resolution=RENDERED) for row in found[: self.drawn]])
            goal = area_resize(torch.from_numpy(self.images[chosen[: self.drawn]]).float(), image.shape[-1])
            terms["lpips"] = network.distance(network.features(image), network.features(goal)).mean()
            terms["mse"] = (image - goal).square().mean()
            total = total + self.image_weight * (terms["lpips"] + terms["mse"])
        return {**terms, "total": total}


def measure_encoder(
    generator: Generator,
    encoder: Encoder,
    indices: Sequence[int],
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Of samples never trained on, unchanged: unexplained variance of ws, and LPIPS and MSE at 256 pixels of the picture."""
    sums: dict[str, float] = {}
    for index in indices:
        ws = sample_ws(generator, index, seed)[None]
        with torch.no_grad():
            face = generator.synthesis(ws)
            found = encode(face, encoder)
            values = compare(face, generator.synthesis(found), ["lpips_vgg", "lpips_alex", "mse"])
            values["unexplained"] = unexplained(found, ws, generator).item()
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value / len(indices)
        progress()
    return sums


def unexplained(found: Tensor, ws: Tensor, generator: Generator) -> Tensor:
    """[N]: squared error of ws over the variance of W. 0: exact; about 1: as far off as the mean face."""
    variance = generator.statistics().w_std.square().sum()
    return (found - ws).square().sum(2).mean(1) / variance


def _hwc(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(1, 2, 0)).astype(np.float32)
