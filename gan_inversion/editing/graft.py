"""Regions of one face as another has them: what is seen of a nose, not which numbers make one.

Styles act on the whole picture, so those of a region that are the other's change little of what people see there. Here
the features of 32 pixels are taken from the other face within the region (Suzuki 2018, arXiv 1811.10153; Collins 2020,
arXiv 2004.14367), without the other's light and tone of skin; then a short search in whitened P finds the face of the
population that has these features, so that the result is latents like all others, and whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ..faces.masks import face_mask, person_mask
from ..faces.mesh import face_mesh, find_mesh
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render
from ..spaces.p import P
from .regions import REGIONS, brow_mask, region_masks

GRAFTS = (*REGIONS, "brows")  # what can be taken over; brows are a part of the eyes, unless both are asked for
LOOK = 256  # pixels of the pictures in which regions are found; generators of smaller ones have none
SIDE = 32  # pixels of the features
GROWTH = {
    "eyes": 1.25,
    "nose": 1.5,
    "mouth": 1.25,
    "face_shape": 1.25,
    "hair": 1.0,
    "brows": 1.5,
}  # what the search loses of a difference
SOFT = 4.0  # standard deviation of a region's edge, pixels of LOOK
STEPS, RATE, BETAS, FALL = 60, 0.08, (0.5, 0.9), 0.6  # of Adam, in deviations; share of the steps before its rate falls
INSIDE, MOVED = 6.0, 0.005  # weights: of the regions against the rest, and of the way from the face as it was


def can_graft(generator: Generator) -> bool:
    """Whether regions can be found and taken over in what it draws."""
    return generator.domain == "face" and generator.resolution >= LOOK and SIDE in generator.feature_sides


def grafted(face: Latents, parts: Mapping[str, tuple[Latents, float]], generator: Generator) -> Latents:
    """The face with other `ws`: region -> (whose, share of the way to theirs, above 0 to 1; 0 holds it as it is).

    The faces should be of one age and held alike: what differs in a region is taken with it. Ask `can_graft` first.
    """
    own = _Seen(face, generator)
    seen = {id(other): _Seen(other, generator) for other, _ in parts.values()}
    change, weight = torch.zeros_like(own.features), torch.ones_like(own.features[..., :1])
    for region, (other, share) in parts.items():
        theirs = seen[id(other)]
        mask = np.maximum(own.region(region), theirs.region(region))
        if region == "eyes" and "brows" in parts:
            brows = seen[id(parts["brows"][0])]
            mask *= 1 - np.maximum.reduce([one.region("brows") for one in (own, theirs, brows)])
        where = _on_features(mask, own.features)
        features = theirs.features if region == "hair" else theirs.in_light_of(own)
        change += share * GROWTH[region] * where * (features - own.features)
        weight += INSIDE * where
    return replace(face, ws=_search(face, own.features + change, weight, generator))


class _Seen:
    """A face's features, and where its regions are."""

    def __init__(self, face: Latents, generator: Generator) -> None:
        self.image = render(generator, face, LOOK)
        with torch.no_grad():
            self.features = features_of(face, face.ws[None].to(generator.device), generator)
        self.points = find_mesh(to_uint8(self.image), face_mesh()).points
        self.masks = region_masks(self.points, LOOK)
        self.person = person_mask(self.image)[0, 0].cpu().numpy()

    def region(self, name: str) -> np.ndarray:
        """[256, 256], 0 or 1; of the hair what is a person's."""
        found = brow_mask(self.points, LOOK) if name == "brows" else self.masks[REGIONS.index(name)]
        mask = found.astype(np.float32)
        return mask * (self.person > 0.5) if name == "hair" else mask

    def in_light_of(self, other: _Seen) -> Tensor:
        """Its features with the mean and the deviation that the other's have in the face: its light and skin."""
        (mean, deviation), (theirs, spread) = self._level(), other._level()
        return (self.features - mean) / deviation.clamp_min(1e-6) * spread + theirs

    def _level(self) -> tuple[Tensor, Tensor]:
        face = _on_features(face_mask(self.image)[0, 0].cpu().numpy(), self.features)
        total = face.sum((1, 2), keepdim=True).clamp_min(1e-6)
        mean = (self.features * face).sum((1, 2), keepdim=True) / total
        return mean, (((self.features - mean).square() * face).sum((1, 2), keepdim=True) / total).sqrt()


def features_of(face: Latents, ws: Tensor, generator: Generator) -> Tensor:
    """ws [1, L, D] with the face's style offset -> features [1, 32, 32, C]; differentiable in ws."""
    styles = None if face.style_offset is None else generator.styles(ws) + face.style_offset[None].to(ws)
    return generator.features(ws, [SIDE], styles=styles)[0]


def _search(face: Latents, target: Tensor, weight: Tensor, generator: Generator) -> Tensor:
    """[L, D]: ws inside the walls of P whose features are nearest to the target."""
    space = P()
    before = space.encode(face.ws[None].to(generator.device), generator)
    parameters = before.clone().requires_grad_()
    adam = torch.optim.Adam([parameters], lr=RATE, betas=BETAS)
    deviation = target.std((1, 2), keepdim=True).clamp_min(1e-6)
    for step in range(STEPS):
        features = features_of(face, space.decode(parameters, generator), generator)
        off = (((features - target) / deviation).square() * weight).mean()
        loss = off + MOVED * (parameters - before).square().mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        fall = max(0.0, step / STEPS - FALL) / (1 - FALL)
        adam.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * fall))
        adam.step()
        space.project(parameters.data)
    return space.decode(parameters.detach(), generator)[0].cpu()


def _on_features(mask: np.ndarray, features: Tensor) -> Tensor:
    """[256, 256] -> [1, 32, 32, 1], with a soft edge."""
    soft = torch.from_numpy(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SOFT))[None, None]
    return area_resize(soft.to(features), SIDE)[:, 0, :, :, None]
