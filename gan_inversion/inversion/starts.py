"""Where the optimiser begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import Generator, UserError


@dataclass(frozen=True)
class Mean:
    """The mean of 10,000 w: the average face."""

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        return generator.statistics().mean.to(target.device).repeat(1, generator.num_ws, 1)


@dataclass(frozen=True)
class BestOf:
    """The nearest of `samples` seeded faces, pulled to the mean by truncation `psi`.

    near: "lpips" compares with LPIPS-AlexNet at 256 pixels, "pixel" with MSE at 64. Each sample costs a forward pass.
    """

    samples: int = 16
    psi: float = 0.7
    near: str = "lpips"

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        z = torch.randn(self.samples, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(target.device)
        mean = generator.statistics().mean.to(target.device)
        with torch.no_grad():
            w = mean + self.psi * (generator.mapping(z) - mean)
            candidates = w[:, None].repeat(1, generator.num_ws, 1)
            distances = [self._distance(generator.synthesis(ws[None]), target) for ws in candidates]
        return candidates[torch.cat(distances).argmin()][None]

    def _distance(self, image: Tensor, target: Tensor) -> Tensor:
        if self.near == "pixel":
            return (area_resize(image, 64) - area_resize(target, 64)).square().mean((1, 2, 3))
        if self.near != "lpips":
            raise UserError(f"start.near={self.near}: choose lpips or pixel")
        network, size = lpips_network("alex", str(target.device)), min(256, target.shape[-1])
        return network.distance(network.features(area_resize(image, size)), network.features(area_resize(target, size)))


@dataclass(frozen=True)
class FromInversion:
    """A stored inversion: the tensor called as the face is ("father"), or "ws"."""

    path: str

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        try:
            with safe_open(Path(self.path), "pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise UserError(f"start.path={self.path}: not a stored inversion ({error}).") from error

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        ws = self._tensors.get(name, self._tensors.get("ws"))
        shape = (generator.num_ws, generator.w_dim)
        if ws is None or ws.shape[-2:] != shape:
            raise UserError(f"start.path={self.path}: no latents {list(shape)} called {name} or ws in it.")
        return ws.reshape(1, *shape).to(target.device)
