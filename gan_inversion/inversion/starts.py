"""Where the optimiser begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import Generator
from ..latents import NAMES_A_FILE, check_shape, describe, hash_of_ws, load_latents
from ..spaces.population import truncated
from .encoder import encode, encoder_sha256, load_encoder


@dataclass(frozen=True)
class Mean:
    """The mean of 10,000 w: the average face."""

    name: ClassVar[str] = "mean"

    is_stochastic = False  # whether the seed matters

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ()

    def identity(self, name: str) -> dict[str, Any]:
        return describe(self)

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        return generator.statistics().mean.to(target.device).repeat(1, generator.num_ws, 1)


@dataclass(frozen=True)
class BestOf:
    """The nearest of `samples` seeded faces, pulled to the mean by truncation `psi`.

    near: "lpips" compares with LPIPS-AlexNet at 256 pixels, "pixel" with MSE at 64. Each sample costs a forward pass.
    """

    name: ClassVar[str] = "best_of"

    samples: int = 16
    psi: float = 0.7
    near: str = "lpips"

    def __post_init__(self) -> None:
        if self.near not in ("lpips", "pixel") or self.samples < 1:
            raise UserError(f"start.near={self.near} start.samples={self.samples}: lpips or pixel, and at least 1")

    is_stochastic = True  # whether the seed matters

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("lpips_alex",) if self.near == "lpips" else ("mse", "psnr")

    def identity(self, name: str) -> dict[str, Any]:
        return describe(self)

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        z = torch.randn(self.samples, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(target.device)
        with torch.no_grad():
            w = truncated(generator.mapping(z), self.psi, generator.statistics())
            candidates = w[:, None].repeat(1, generator.num_ws, 1)
            distances = [self._distance(generator.synthesis(ws[None]), target) for ws in candidates]
        return candidates[torch.cat(distances).argmin()][None]

    def _distance(self, image: Tensor, target: Tensor) -> Tensor:
        if self.near == "pixel":
            return (area_resize(image, 64) - area_resize(target, 64)).square().mean((1, 2, 3))
        network, size = lpips_network("alex", str(target.device)), min(256, target.shape[-1])
        return network.distance(network.features(area_resize(image, size)), network.features(area_resize(target, size)))


@dataclass(frozen=True)
class FromEncoder:
    """The encoder that was trained for this generator. `path`: a catalogue entry or a .safetensors file.

    passes: how often it looks, each time at what the last time drew; its answer lies within the walls of P.
    """

    name: ClassVar[str] = "encoder"
    version: ClassVar[int] = 2

    path: str = field(default="encoder_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)
    passes: int = field(default=3, metadata={"least": 1})

    is_stochastic = False  # whether the seed matters

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("lpips_alex", "mse", "psnr", "identity_dlib")  # what it was trained by, and sees by

    def identity(self, name: str) -> dict[str, Any]:
        """The numbers count, not where they lie."""
        return {**describe(self), "path": f"sha256:{encoder_sha256(self.path)}"}

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        return encode(target, load_encoder(self.path, generator), generator, self.passes)


@dataclass(frozen=True)
class FromInversion:
    """Stored latents: the tensor called as the face is ("father"), or "ws"."""

    name: ClassVar[str] = "inversion"

    path: str = field(metadata=NAMES_A_FILE)

    is_stochastic = False  # whether the seed matters

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ()

    def identity(self, name: str) -> dict[str, Any]:
        """The latents count, not where they lie."""
        return {**describe(self), "path": f"sha256:{hash_of_ws(load_latents(self.path, name).ws)}"}

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        found = load_latents(self.path, name)
        if found.generator_sha256 != generator.sha256:
            raise UserError(f"start.path={self.path}: these latents belong to another generator.")
        check_shape(found.latents, generator, f"start.path={self.path}")
        return found.ws[None].to(target.device)
