"""An encoder: aligned face -> coordinates in whitened P in a few passes, each of which sees what the last one drew.

As ReStyle (Alaluf 2021, arXiv 2104.02699) it begins at the mean face and adds to its answer what is still missing. It sees
faces as pixels, through LPIPS-AlexNet's frozen features and as dlib's embedding of the person, and was trained on the
generator's own samples (`scripts/train_encoder.py`), without any photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import read_catalogue
from ..assets.trained import load_trained, whole
from ..errors import UserError
from ..estimators.identity import DlibResNet, dlib_resnet
from ..estimators.lpips_network import LPIPSNetwork, lpips_network
from ..image import area_resize
from ..interfaces import Generator, WStatistics
from ..spaces.p_space import REACH, from_p
from ..storage import remembered_sha256

ENCODER = "encoder"  # what its file says it is
SIZE = 256  # pixels it looks at
SEEN = (64, 192, 896, 0)  # channels of AlexNet's maps that join the stages of 64, 32, 16 and 8 pixels
WIDTHS, BLOCKS = (64, 128, 256, 296), (2, 3, 3, 2)  # of these stages
HIDDEN, RANK = 512, 72  # numbers that all rows share; that each row then has for itself
EMBEDDING = 128  # dlib's


class Sight(NamedTuple):
    """What is seen of faces [N]."""

    picture: Tensor  # [N, 3, 256, 256]
    maps: Sequence[Tensor]  # AlexNet's, [N, C, S, S], each of unit variance
    person: Tensor  # [N, 128]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `stride` 2 halves the side."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels, momentum=0.05)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels, momentum=0.05)
        self.shortcut = nn.Conv2d(channels_in, channels, 1) if stride > 1 or channels_in != channels else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut(F.avg_pool2d(x, 2))
        return F.relu(x + y)


class Encoder(nn.Module):
    """A face, what was drawn of it -> what to add to its coordinates [N, L, D]: a part for all rows, and each row's own."""

    p_mean: Tensor
    enter: nn.Conv2d
    stages: Any  # ModuleLists, whose items mypy takes for tensors
    join: Any

    def __init__(
        self, num_ws: int, w_dim: int, widths: Sequence[int], blocks: Sequence[int], hidden: int, rank: int
    ) -> None:
        super().__init__()
        self.num_ws, self.w_dim, self.rank = num_ws, w_dim, rank
        self.enter = nn.Conv2d(6, widths[0] // 2, 3, stride=2, padding=1, bias=False)
        self.enter_norm = nn.BatchNorm2d(widths[0] // 2, momentum=0.05)
        self.stages, self.join = nn.ModuleList(), nn.ModuleList()
        before = widths[0] // 2
        for width, count, seen in zip(widths, blocks, SEEN, strict=True):
            stage = [Residual(before, width, 2), *(Residual(width, width, 1) for _ in range(count - 1))]
            self.stages.append(nn.ModuleList(stage))
            self.join.append(nn.Conv2d(2 * seen, width, 1) if seen else nn.Identity())
            before = width
        self.down = nn.Conv2d(before, 192, 3, stride=2, padding=1)
        self.inner = nn.Linear(192 * 16, hidden)
        self.person = nn.Linear(2 * EMBEDDING, hidden)
        self.common = nn.Linear(hidden, w_dim)
        self.narrow = nn.Linear(hidden, num_ws * rank)
        self.rows = nn.Parameter(torch.zeros(num_ws, rank, w_dim))
        self.register_buffer("p_mean", torch.zeros(w_dim))
        self.p_colour = nn.Parameter(torch.zeros(w_dim, w_dim), requires_grad=False)  # a parameter: kept as float16

    @torch.no_grad()
    def initialise(self, seed: int, statistics: WStatistics) -> None:
        """Seeded start of a training; every face is then the mean. The axes are kept: others' signs may differ."""
        self.p_mean.copy_(statistics.p_mean)
        self.p_colour.copy_(statistics.p_colour.half())
        random = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fan_in = module.weight[0].numel()
                module.weight.copy_(torch.randn(module.weight.shape, generator=random) * (2 / fan_in) ** 0.5)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, Residual):
                module.norm2.weight.zero_()
        for join in self.join:
            if isinstance(join, nn.Conv2d):
                join.weight.mul_(0.5)
        self.common.weight.zero_()

    def ws(self, steps: Tensor) -> Tensor:
        """Sums of what `forward` gave [N, L, D] -> ws [N, L, D], within the walls of P."""
        return from_p(bounded(steps) @ self.p_colour + self.p_mean)

    def forward(self, face: Sight, drawn: Sight) -> Tensor:
        x = torch.cat([face.picture, drawn.picture], 1)
        x = F.relu(self.enter_norm(self.enter(x)))
        for i, (stage, join) in enumerate(zip(self.stages, self.join, strict=True)):
            x = stage[0](x)
            if i < len(face.maps):
                seen = torch.cat([face.maps[i], face.maps[i] - drawn.maps[i]], 1)
                x = x + F.interpolate(join(seen), x.shape[-2:], mode="bilinear", align_corners=False)
            for block in stage[1:]:
                x = block(x)
        x = F.leaky_relu(self.down(x), 0.2).flatten(1)
        person = torch.cat([face.person, face.person - drawn.person], 1)
        x = F.leaky_relu(self.inner(x) + self.person(person), 0.2)
        own = self.narrow(x).view(len(x), self.num_ws, self.rank)
        return self.common(x)[:, None] + torch.einsum("nlr,lrd->nld", own, self.rows)


@torch.no_grad()
def look(faces: Tensor, perceptual: LPIPSNetwork, person: DlibResNet) -> Sight:
    """Faces [N, 3, R, R] in [-1, 1] -> what is seen of them."""
    faces = area_resize(faces, SIZE)
    maps = [layer * layer.shape[1] ** 0.5 for layer in perceptual.features(faces)]
    return Sight(faces, [maps[0], maps[1], torch.cat(maps[2:], 1)], person.embed(faces) * EMBEDDING**0.5)


def bounded(steps: Tensor) -> Tensor:
    """Any numbers -> coordinates in whitened P that never reach its walls."""
    return REACH * torch.tanh(steps / REACH)


@torch.no_grad()
def encode(faces: Tensor, encoder: Encoder, generator: Generator, passes: int = 3) -> Tensor:
    """Faces [N, 3, R, R] in [-1, 1] -> ws [N, L, D]. Each pass draws a preview of 256 pixels."""
    networks = lpips_network("alex", str(faces.device)), dlib_resnet(str(faces.device))
    face = look(faces, *networks)
    steps = faces.new_zeros(len(faces), generator.num_ws, generator.w_dim)
    for _ in range(passes):
        drawn = generator.synthesis(encoder.ws(steps), resolution=SIZE)
        steps = steps + encoder(face, look(drawn.clamp(-1, 1), *networks))
    return encoder.ws(steps)


def new_encoder(generator: Generator, seed: int) -> Encoder:
    """One to be trained, on the generator's device: smaller where w has less than 512 numbers."""
    share = min(1.0, generator.w_dim / 512)
    widths = [max(8, round(width * share)) for width in WIDTHS]
    hidden, rank = (max(4, round(size * share)) for size in (HIDDEN, RANK))
    encoder = Encoder(generator.num_ws, generator.w_dim, widths, BLOCKS, hidden, rank)
    encoder.initialise(seed, generator.statistics())
    return encoder.to(generator.device)


def load_encoder(name: str, generator: Generator) -> Encoder:
    """The encoder of `generator`, frozen, on its device. Raises UserError if it was trained for another."""
    key: Any = generator  # modules hash by identity, which their protocol does not say
    return _load_encoder(name, encoder_sha256(name), key)


@lru_cache(maxsize=2)
def _load_encoder(name: str, sha256: str, generator: Any) -> Encoder:
    """Once for each content of the file, so that a result and its key never speak of two encoders."""
    trained = load_trained(name, ENCODER, generator)
    if trained.sha256 != sha256:
        raise UserError(f"{name}: changed while it was read. Try again.")
    state = trained.tensors
    with whole(name, ENCODER):
        encoder = Encoder(generator.num_ws, generator.w_dim, *sizes_of(state))
        encoder.load_state_dict(state)
    encoder.requires_grad_(False).eval().to(generator.device)
    return encoder


def sizes_of(state: dict[str, Tensor]) -> tuple[list[int], list[int], int, int]:
    """widths, blocks, hidden and rank of these tensors."""
    blocks = [len({k.split(".")[2] for k in state if k.startswith(f"stages.{i}.")}) for i in range(len(SEEN))]
    widths = [len(state[f"stages.{i}.0.conv1.weight"]) for i in range(len(SEEN))]
    return widths, blocks, len(state["inner.weight"]), state["rows"].shape[1]


def encoder_sha256(name: str) -> str:
    """Of its file, which is hashed once as long as it stays the same: each face's key asks for it."""
    return read_catalogue()[name].sha256 if name in read_catalogue() else remembered_sha256(name)
