"""A StyleGAN of any family: a mapping network and a synthesis network, frozen, under one roof."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint, printable
from ..errors import UserError
from ..image import area_resize
from ..interfaces import WStatistics
from ..spaces.population import cached_statistics
from .frozen import freeze, sha256_of
from .mapping import MappingNetwork


class SynthesisNetwork(Protocol):
    """What a family's module provides: an nn.Module whose tensors have the names of a checkpoint's `synthesis.*`."""

    resolution: int
    num_ws: int
    native: Sequence[int]  # smaller resolutions that cost less than the whole picture, ascending
    noise_sides: Sequence[int]  # pixels of each noise map, in order; empty where the family has none

    def affines(self) -> Sequence[tuple[int, nn.Module]]:
        """(row of ws, map w [N, D] -> style [N, S_i]) of each style, in order of use."""

    def __call__(self, styles: Sequence[Tensor], noise: Sequence[Tensor] | None, resolution: int | None) -> Tensor:
        """styles: [N, S_i] each -> image [N, 3, R, R], float32. noise: [1 or N, 1, H, W] each; None: its own constants."""


class StyleGAN(nn.Module):
    """The generator, frozen.

    class_label: of conditional generators, from 0. domain: "face" for generators of FFHQ-aligned faces, else "other".
    """

    previews_sha256 = ""  # smaller pictures are true ones

    def __init__(
        self, checkpoint: Checkpoint, network: Any, device: str, class_label: int | None = None, domain: str = "face"
    ) -> None:
        """network: a `SynthesisNetwork` with uninitialised tensors; those of the checkpoint must fit it exactly.

        Raises UserError naming what is missing, superfluous or of another shape, and for labels that do not exist.
        """
        super().__init__()
        state = dict(checkpoint.state)
        shapes = {name.removeprefix("mapping."): t.shape for name, t in state.items() if name.startswith("mapping.")}
        self.name, self.options, self.domain = checkpoint.family, dict(checkpoint.options), domain
        self.licence = printable(str(checkpoint.facts.get("licence", "unknown: that of the file's authors")))
        self.mapping_network = MappingNetwork(shapes, checkpoint.options)
        self._tracked = "mapping.w_avg" in state
        state.setdefault("mapping.w_avg", torch.zeros(self.mapping_network.w_dim))
        self.network = network
        names = {"mapping": "mapping_network", "synthesis": "network"}
        try:
            self.load_state_dict({_renamed(name, names): tensor for name, tensor in state.items()}, strict=True)
        except RuntimeError as error:
            said = re.sub(r"\bnetwork\.", "synthesis.", str(error).replace("mapping_network.", "mapping."))
            raise UserError(f"not a complete {self.name} generator: {said}") from None
        widths = {layer.weight.shape[1] for _, layer in network.affines()}
        if widths != {self.mapping_network.w_dim}:
            raise UserError(
                f"not a complete {self.name} generator: its mapping network makes w of {self.mapping_network.w_dim} "
                f"numbers, and its synthesis network takes {sorted(widths)}."
            )
        self.sha256 = sha256_of(self, json.dumps([self.name, self.options], sort_keys=True))
        freeze(self, device)
        self.z_dim, self.w_dim = self.mapping_network.z_dim, self.mapping_network.w_dim
        self.resolution, self.num_ws, self.c_dim = network.resolution, network.num_ws, self.mapping_network.c_dim
        self.label = self._label(class_label)
        self.class_label = class_label
        self._statistics: WStatistics | None = None

    def _label(self, class_label: int | None) -> Tensor | None:
        if self.c_dim == 0 and class_label is None:
            return None
        if self.c_dim == 0:
            raise UserError(f"generator.class_label={class_label}: this generator has no classes; leave it out.")
        if class_label is None or not 0 <= class_label < self.c_dim:
            raise UserError(f"generator.class_label={class_label}: choose one of its classes, 0 to {self.c_dim - 1}.")
        label = torch.zeros(self.c_dim, device=self.device)
        label[class_label] = 1.0
        return label

    @property
    def device(self) -> torch.device:
        return self.mapping_network.w_avg.device

    @property
    def w_avg(self) -> Tensor:
        """[D]: mean of w as training tracked it, or, where a checkpoint lacks it, of samples: the centre of truncation."""
        return self.mapping_network.w_avg if self._tracked else self.statistics().mean.to(self.device)

    def noise_maps(self) -> list[Tensor]:
        """Its own noise, [1, 1, H, W] a layer, of unit variance; empty where the family has none."""
        maps = [tensor for name, tensor in self.network.named_buffers() if name.endswith("noise_const")]
        return [one[None, None] for one in maps]

    def mapping(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> w [N, D], of its class if it has classes."""
        w: Tensor = self.mapping_network(z, self.label)
        return w

    @property
    def feature_sides(self) -> tuple[int, ...]:
        """None: its networks hand out no features."""
        return ()

    def features(
        self, ws: Tensor, sides: Sequence[int], noise: Sequence[Tensor] | None = None, styles: Tensor | None = None
    ) -> list[Tensor]:
        """Nothing, of no sides."""
        return []

    @property
    def channel_sides(self) -> Tensor:
        """[0]: its networks cannot be tuned."""
        return torch.empty(0, dtype=torch.long)

    @property
    def style_rows(self) -> Tensor:
        """[S]: the row of ws that each number of `styles` comes from."""
        return torch.cat([torch.full((len(layer.bias),), row) for row, layer in self.network.affines()])

    def styles(self, ws: Tensor) -> Tensor:
        """ws [N, L, D] -> [N, S]: StyleSpace (Wu 2021, arXiv 2011.12799)."""
        return torch.cat([layer(ws[:, row]) for row, layer in self.network.affines()], 1)

    def synthesis(
        self,
        ws: Tensor,
        noise: Sequence[Tensor] | None = None,
        resolution: int | None = None,
        styles: Tensor | None = None,
        features: Tensor | None = None,
        tuning: Tensor | None = None,
    ) -> Tensor:
        """ws [N, L, D] -> image [N, 3, R, R], about -1..1. See `interfaces.Generator.synthesis`.

        noise: maps [1 or N, 1, H, W] of unit variance, which the layers scale; zeros switch it off.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], not {list(ws.shape)}")
        if noise is not None and len(noise) != len(self.network.noise_sides):
            raise ValueError(f"{len(self.network.noise_sides)} noise maps are needed, not {len(noise)}")
        if features is not None:
            raise ValueError(f"{self.name}: features cannot be added to, feature_sides is empty")
        if tuning is not None:
            raise ValueError(f"{self.name}: it cannot be tuned, channel_sides is empty")
        affines = self.network.affines()
        if styles is None:
            parts = [layer(ws[:, row]) for row, layer in affines]
        else:
            parts = list(styles.split([len(layer.bias) for _, layer in affines], dim=1))
        wanted = self.resolution if resolution is None else min(resolution, self.resolution)
        drawn = next((side for side in self.network.native if side >= wanted), None)
        image = self.network(parts, noise, drawn)
        return image if image.shape[-1] == wanted else area_resize(image, wanted)

    def statistics(self) -> WStatistics:
        if self._statistics is None:
            self._statistics = cached_statistics(self, "" if self.class_label is None else f"_{self.class_label}")
        return self._statistics


def _renamed(name: str, names: dict[str, str]) -> str:
    head, _, rest = name.partition(".")
    return f"{names.get(head, head)}.{rest}"
