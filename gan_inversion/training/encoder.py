"""Training of the encoder on faces that the generator draws anew for each update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..estimators.identity import dlib_resnet
from ..estimators.lpips_network import lpips_network
from ..interfaces import Generator, Target, Trial
from ..inversion.encoder import SIZE, Encoder, bounded, encode, look
from ..losses.identity import Identity
from ..losses.lpips import LPIPS
from ..losses.pixel import Pixel
from ..metrics.reconstruction import compare
from .samples import sample_ws
from .views import Views, fresh_views

LATENTS, NEAR = 0.25, 0.01  # weights of known coordinates; of the distance to the mean, and to the rows' own mean


@dataclass(frozen=True)
class EncoderLoss:
    """What each of `passes` draws, against the goal: LPIPS-AlexNet, pixels and dlib's identity; and known coordinates.

    Passes are learned one by one, as in ReStyle: what a pass begins with gets no gradient.
    """

    generator: Generator
    encoder: Encoder
    batch: int
    passes: int
    image_weight: float
    identity_weight: float

    def __call__(self, step: int, random: torch.Generator) -> dict[str, Tensor]:
        generator, encoder = self.generator, self.encoder
        views, statistics, device = fresh_views(generator, self.batch, random), generator.statistics(), generator.device
        networks = lpips_network("alex", str(device)), dlib_resnet(str(device))
        target = Target(views.goal, statistics)
        images = {"lpips": LPIPS().bind(target), "pixel": Pixel(sizes=(256, 32)).bind(target)}
        images["identity"] = Identity(flip=False).bind(target)
        spread = (1 / statistics.p_whiten.norm(dim=0)).to(device)  # along each axis of P
        face = look(views.seen, *networks)
        steps = views.coordinates.new_zeros(views.coordinates.shape)
        with torch.no_grad():
            drawn = generator.synthesis(encoder.ws(steps), resolution=SIZE)
        sums: dict[str, Tensor] = {}
        for _ in range(self.passes):
            before = look(drawn.detach().clamp(-1, 1), *networks)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                change = encoder(face, before)
            steps = steps.detach() + change.float()
            ws, found = encoder.ws(steps), bounded(steps)
            drawn = generator.synthesis(ws, resolution=SIZE)
            terms = {name: loss(Trial(drawn, ws)).mean() for name, loss in images.items()}
            terms["latents"] = _of_known(found, views, spread / spread.mean())
            terms["norm"] = found.square().mean() + (found - found.mean(1, keepdim=True)).square().mean()
            for name, value in terms.items():
                sums[name] = sums.get(name, value.new_zeros(())) + value / self.passes
        image = 2 * sums["lpips"] + 3 * sums["pixel"]
        total = self.image_weight * image + self.identity_weight * sums["identity"]
        return {**sums, "total": total + LATENTS * sums["latents"] + NEAR * sums["norm"]}


def _of_known(found: Tensor, views: Views, weights: Tensor) -> Tensor:
    """Mean squared distance of known coordinates, axes by their deviation in P."""
    off = ((found - views.coordinates).square() * weights).mean((1, 2))
    return (off * views.known).sum() / views.known.sum().clamp_min(1)


def measure_encoder(
    generator: Generator,
    encoder: Encoder,
    indices: Sequence[int],
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Of samples never trained on, unchanged: unexplained variance of ws, and LPIPS and MSE at 256 pixels of the picture."""
    encoder.eval()
    sums: dict[str, float] = {}
    for index in indices:
        ws = sample_ws(generator, index, seed)[None].to(generator.device)
        with torch.no_grad():
            face = generator.synthesis(ws).clamp(-1, 1)
            found = encode(face, encoder, generator)
            image = generator.synthesis(found)
            values = compare(face.cpu(), image.cpu(), ["lpips_vgg", "lpips_alex", "mse", "identity_faceres"])
            values["unexplained"] = unexplained(found, ws, generator).item()
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value / len(indices)
        progress()
    return sums


def unexplained(found: Tensor, ws: Tensor, generator: Generator) -> Tensor:
    """[N]: squared error of ws over the variance of W. 0: exact; about 1: as far off as the mean face."""
    variance = generator.statistics().w_std.square().sum().to(ws.device)
    return (found - ws).square().sum(2).mean(1) / variance
