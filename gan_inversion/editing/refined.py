"""What a refinement has added to a face, when the face is edited.

Added as it is, it stays where it was while the face under it moves, and paints hair upon a forehead that is bare now. So it
goes with the face, by the landmarks of the mesh; it fades where the generator now draws something else than what it was
found for; and behind the person all is left as it was. StyleFeatureEditor (Bobkov 2024, arXiv 2406.10601) trains a network
for this.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.masks import person_mask
from ..faces.mesh import face_mesh, find_mesh
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render

LOOK = 256  # pixels of the pictures in which face and person are found
ALIKE = 1.0  # standard deviations of the features between before and after at which the refinement has faded to .6
REACHES = ((1.0, 1.0), (2.5, 1e-2), (6.0, 1e-4))  # of a landmark's movement, features' pixels, and the weight of each


@torch.no_grad()
def carried(before: Latents, ws: Tensor, generator: Generator) -> Latents:
    """The latents with other `ws` [L, D], and with what of their refinement fits the face that is drawn then."""
    after = replace(before, ws=ws)
    if before.features is None or generator.domain != "face" or torch.equal(ws, before.ws):
        return after
    side, delta = before.features.shape[0], before.features[None].float().to(generator.device)
    was, now = (generator.features(one[None].to(generator.device), [side])[0] for one in (before.ws, ws))
    pictures = [render(generator, replace(one, features=None), LOOK) for one in (before, after)]
    flow = movement(pictures[0], pictures[1], side)
    off = ((now - moved(was, flow)) / was.std((0, 1, 2))).square().mean(3, keepdim=True)
    fitting = moved(delta, flow) * (-off / (2 * ALIKE**2)).exp()
    person = torch.stack([person_mask(one) for one in (render(generator, before, LOOK), *pictures)]).amax(0)
    inside = _softened(area_resize(person, side)[0, 0])[None, :, :, None].to(delta)
    features = inside * fitting + (1 - inside) * (delta + was - now)
    return replace(after, features=features[0].half().cpu().contiguous())


def movement(before: Tensor, after: Tensor, side: int) -> Tensor:
    """Two pictures [1, 3, R, R] of a face -> [side, side, 2]: from each place the way to where it was before, in pixels.

    The landmarks' own movements, spread by normalised convolution, and dying away outside of the face.
    """
    a, b = (find_mesh(to_uint8(one), face_mesh()).points for one in (before, after))
    a, b = ((points + 0.5) * side / before.shape[-1] - 0.5 for points in (a, b))
    sums, counts = np.zeros((side, side, 2), np.float32), np.zeros((side, side), np.float32)
    for (x, y), way in zip(b.round().astype(int), a - b, strict=True):
        if 0 <= x < side and 0 <= y < side:
            sums[y, x] += way
            counts[y, x] += 1
    spread = sum(weight * cv2.GaussianBlur(sums, (0, 0), reach) for reach, weight in REACHES)
    total = sum(weight * cv2.GaussianBlur(counts, (0, 0), reach) for reach, weight in REACHES)
    return torch.from_numpy(np.asarray(spread / (np.asarray(total)[:, :, None] + 3e-7)))


def moved(features: Tensor, flow: Tensor) -> Tensor:
    """features [1, S, S, C] -> each place takes what was at itself plus flow [S, S, 2], bilinear."""
    side = features.shape[1]
    places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"), 2)
    grid = (places + flow + 0.5) * 2 / side - 1
    found = F.grid_sample(
        features.permute(0, 3, 1, 2), grid[None].to(features), padding_mode="border", align_corners=False
    )
    return found.permute(0, 2, 3, 1)


def _softened(mask: Tensor) -> Tensor:
    """[S, S]: a pixel wider, with a soft edge."""
    wide = cv2.dilate(mask.cpu().numpy(), np.ones((3, 3), np.uint8))
    return torch.from_numpy(cv2.GaussianBlur(wide, (0, 0), 1.0))
