"""How near an inversion is to its photograph. These numbers are reported and never steer anything.

Compared at 256 pixels, area-downsampled, in [-1, 1], after rounding to 8 bits as the saved PNG is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.faceres import faceres
from ..estimators.identity import dlib_resnet
from ..estimators.lpips_network import lpips_network
from ..image import area_resize, to_tensor, to_uint8
from ..interfaces import AlignedFace, Generator, Inversion
from ..latents import render
from ..losses.ms_ssim import ms_ssim
from ..losses.prior import delta_norm, p_norm

SIZE = 256


def _lpips(backbone: str) -> Callable[[Tensor, Tensor], float]:
    def distance(a: Tensor, b: Tensor) -> float:
        network = lpips_network(backbone)
        return network.distance(network.features(a), network.features(b)).item()

    return distance


def _mse(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().item()


def _psnr(a: Tensor, b: Tensor) -> float:
    """dB; peak to peak is 2 in [-1, 1]. At most 100, which equal images get: JSON has no infinity."""
    return 10 * math.log10(4 / max(_mse(a, b), 4e-10))


def _identity_dlib(a: Tensor, b: Tensor) -> float:
    """L2 distance of dlib's embeddings: below 0.6 mostly the same person."""
    network = dlib_resnet()
    return network.distance(network.embed(a), network.embed(b)).item()


def _identity_faceres(a: Tensor, b: Tensor) -> float:
    """Cosine of FaceRes' embeddings: 1 for the same picture, about 0.35 for strangers."""
    network = faceres()
    return network.similarity(network.embed(a), network.embed(b)).item()


OF_IMAGES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "lpips_vgg": _lpips("vgg"),
    "lpips_alex": _lpips("alex"),
    "ms_ssim": lambda a, b: ms_ssim(a, b).item(),
    "mse": _mse,
    "psnr": _psnr,
    "identity_dlib": _identity_dlib,
    "identity_faceres": _identity_faceres,
}
OF_LATENTS: dict[str, Callable[[Tensor, Generator], float]] = {
    "p_norm": lambda ws, generator: p_norm(ws, generator.statistics()).item(),
    "delta_norm": lambda ws, generator: delta_norm(ws).item(),
}
METRICS = (*OF_IMAGES, *OF_LATENTS)
HIGHER_IS_BETTER = ("ms_ssim", "psnr", "identity_faceres")  # of the others less is


def compare(photo: Tensor, image: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Two images [1, 3, R, R] -> the named image metrics, after 8-bit rounding and downsampling to 256."""
    size = min(SIZE, photo.shape[-1])
    a, b = (area_resize(to_tensor(to_uint8(x)), size) for x in (photo, image))
    with torch.no_grad():
        return {name: OF_IMAGES[name](a, b) for name in names}


def evaluate(face: AlignedFace, inversion: Inversion, generator: Generator, names: Sequence[str]) -> dict[str, float]:
    """The named metrics of one inversion. p_norm: 1 for a fresh sample of the generator; lower losses, higher ms_ssim."""
    check_names(names)
    ws = inversion.ws[None].to(generator.device)
    with torch.no_grad():
        image = render(generator, inversion.latents).cpu()
        photo = area_resize(to_tensor(face.pixels), generator.resolution)
        values = compare(photo, image, [name for name in names if name in OF_IMAGES])
        values |= {name: OF_LATENTS[name](ws, generator) for name in names if name in OF_LATENTS}
    return {name: values[name] for name in names}


def check_names(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UserError(f"metrics: unknown {', '.join(unknown)}. Known: {', '.join(METRICS)}")


def report(values: Mapping[str, float], pursued: Collection[str]) -> dict[str, dict[str, Any]]:
    """Each value with its status: "held out", or "optimised" when a loss or a start in use pursued that very number."""
    return {
        name: {"value": value, "status": "optimised" if name in pursued else "held out"}
        for name, value in values.items()
    }
