"""Fresh faces for the encoder, drawn anew for each update: of the generator's people, of mixtures of them, and of those
far out in the box where inversions of photographs lie.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..interfaces import Generator
from ..inversion.encoder import SIZE
from ..spaces.p import P
from ..spaces.p_space import REACH, whiten
from .degrade import Dice, alter, degrade

SINGLE, MIXED = 0.35, 0.25  # shares of faces of one w, and of rows drawn towards others; the rest lies far out
ALTERED, ALTERED_FAR = 0.4, 0.7  # shares of these that become another picture


class Views(NamedTuple):
    """What the encoder sees of N faces, and what it should come to."""

    seen: Tensor  # [N, 3, R, R]
    goal: Tensor  # [N, 3, R, R]
    coordinates: Tensor  # [N, L, D] in whitened P
    known: Tensor  # [N]: 1 where they draw the goal and are those of people, else 0


@torch.no_grad()
def fresh_views(generator: Generator, count: int, random: torch.Generator) -> Views:
    coordinates, far = draw_coordinates(generator, count, random)
    change = torch.rand(count, generator=random) < torch.where(far, ALTERED_FAR, ALTERED)
    amount = change * (0.3 + 0.7 * torch.rand(count, generator=random))
    seed = int(torch.randint(2**31, (1,), generator=random))
    device = generator.device
    coordinates = coordinates.to(device)
    image = generator.synthesis(P().decode(coordinates, generator), resolution=SIZE).clamp(-1, 1)
    dice, size = Dice(count, device, seed), amount.to(device).view(-1, 1, 1, 1)
    goal = torch.where(size > 0, alter(image, dice, size), image)
    known = (~far & ~change).float().to(device)
    return Views(degrade(goal, dice), goal, coordinates, known)


def draw_coordinates(generator: Generator, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates in whitened P [N, L, D], within its walls, and whether they are far out [N]; on the CPU."""
    rows, width = generator.num_ws, generator.w_dim
    z = torch.randn(count * 5, generator.z_dim, generator=random).to(generator.device)
    people = whiten(generator.mapping(z).cpu(), generator.statistics()).float().view(count, 5, width)
    kind, weight, psi, share, size = torch.rand(5, count, 1, 1, generator=random)
    runs = torch.randint(2, 5, (count, 1), generator=random)
    cuts = torch.randint(1, rows, (count, 3), generator=random)
    cuts = torch.where(torch.arange(3) < runs - 1, cuts, rows)  # rows: a cut that cuts nothing
    run = (torch.arange(rows)[None, :, None] >= cuts[:, None]).sum(2)  # [N, L]
    other = people[:, 1:].gather(1, run[..., None].expand(-1, -1, width))
    single = people[:, :1].expand(-1, rows, -1)
    found = (0.6 + 0.5 * psi) * torch.where(kind < SINGLE, single, torch.lerp(single, other, weight))
    far = kind >= SINGLE + MIXED
    common = torch.randn(count, 1, width, generator=random)
    own = torch.randn(count, width, rows, generator=random)
    own = F.avg_pool1d(F.pad(own, (1, 1), mode="replicate"), 3, 1).transpose(1, 2) * 3**0.5  # neighbours agree
    share = 0.3 + 0.4 * share
    axes = 1.25 - 0.75 * torch.linspace(0, 1, width) ** 4  # smallest variance first: pose and background move less
    found = found + far * (0.5 + 1.1 * size) * axes * (share.sqrt() * common + (1 - share).sqrt() * own)
    edge = 0.98 * REACH
    return found.clamp(-edge, edge), far.view(-1)
