"""The words of this project as types. Read this file first.

photo -> `AlignedFace` -> `Inversion` -> ws of a child -> picture. The other modules implement the protocols below, and
`components.py` builds them from a config. What a config can choose is a frozen dataclass with a `name`, that of its option:
keys of results hold names and settings, not where code lies.

Shapes: N faces, L = num_ws rows of W+, D = w_dim, R = resolution in pixels. Images are float tensors in [-1, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:  # only to say what things are: commands that compute nothing need not wait for torch
    import numpy as np
    import torch
    from torch import Tensor


GENDERS = ("female", "male")

# ------------------------------------------------------------------ data


@dataclass(frozen=True)
class AlignedFace:
    """One FFHQ crop, ready to be inverted."""

    pixels: np.ndarray  # uint8 [R, R, 3], RGB
    name: str  # what messages call it: "father", "anna.jpg"
    photo_sha256: str = ""  # of the photograph's bytes; paths are never stored
    quad: tuple[tuple[float, float], ...] = ()  # its corners in the upright photo, pixels
    warnings: tuple[str, ...] = ()
    png: bytes = field(default=b"", repr=False, compare=False)  # the same as a file, if it was read from one


@dataclass(frozen=True)
class Trial:
    """What a loss looks at: one rendered attempt at a face."""

    image: Tensor  # [N, 3, R, R], the generator's raw output, not clamped
    ws: Tensor  # [N, L, D]
    noise: tuple[Tensor, ...] = ()  # [N, 1, H, W] each, where noise maps are optimised too


@dataclass(frozen=True)
class Target:
    """What a loss is bound to, once, before the first step."""

    image: Tensor  # [N, 3, R, R] in [-1, 1]
    statistics: WStatistics
    whole: Tensor | None = (
        None  # [N, 3, R, R], the same at full size, where `image` is smaller: what masks are read from
    )


@dataclass(frozen=True)
class FaceLabels:
    """What an estimator reads in a face. Estimators differ: which one read it must be said with the numbers."""

    age: float  # years
    male: float  # probability that people would call it male


@dataclass(frozen=True)
class WStatistics:
    """Where the mapping network puts its samples, in W and in the P space of II2S (Zhu 2020, arXiv 2012.09036).

    P undoes the last leaky ReLU of the mapping network: p = leaky_relu(w, 5). There the samples are close to a
    Gaussian, so `(p - p_mean) @ p_whiten` has mean 0 and covariance I, and its squared length measures plausibility.
    """

    mean: Tensor  # [D]
    w_axes: Tensor  # [D, D], eigenvectors of the covariance of w in columns, smallest variance first
    w_std: Tensor  # [D], standard deviation along each axis
    p_mean: Tensor  # [D]
    p_whiten: Tensor  # [D, D]

    @cached_property
    def p_colour(self) -> Tensor:
        """[D, D]: the inverse of p_whiten, which takes whitened coordinates back to P."""
        import torch  # here: see above

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the same bits whatever the number of cores, and whoever asks first
        try:
            inverse: Tensor = self.p_whiten.double().inverse().float()
        finally:
            torch.set_num_threads(threads)
        return inverse

    @cached_property
    def sha256(self) -> str:
        """Of the numbers: they enter starts and priors, so they are part of a result's identity."""
        tensors = (self.mean, self.w_axes, self.w_std, self.p_mean, self.p_whiten)
        return hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in tensors)).hexdigest()


@dataclass(frozen=True)
class Latents:
    """All that a face is drawn from."""

    ws: Tensor  # [L, D]
    style_offset: Tensor | None = None  # [S], added to the styles of ws: what was inherited by region, or refined
    noise: tuple[Tensor, ...] = ()  # [H, W] each, in place of the generator's own; empty: its own
    features: Tensor | None = None  # [S, S, C], added to the features of S pixels: what a photograph has beyond ws
    tuning: Tensor | None = None  # [2, K], gain and shift of the generator's channels: the tuned copy that draws it


@dataclass(frozen=True)
class Inversion:
    """The latents found for one face, and all that is needed to believe them."""

    ws: Tensor  # [L, D]; `latents.render(generator, inversion.latents)` redraws exactly what was scored
    generator_sha256: str
    settings: dict[str, Any] = field(default_factory=dict)  # everything that could have changed the result
    losses: dict[str, float] = field(default_factory=dict)  # at the step that was kept, unweighted, and "total"
    best_step: int = 0
    steps: int = 0  # optimiser updates made
    stopped: str = "budget"  # budget | plateau | target | diverged | interrupted
    style_offset: Tensor | None = (
        None  # [S]; only where it was refined, and of stored children that inherited by region
    )
    noise: tuple[Tensor, ...] = ()  # [H, W] each; only where noise maps were optimised too, or refined
    features: Tensor | None = None  # [S, S, C]; only where it was refined
    tuning: Tensor | None = None  # [2, K]; only where a copy was tuned, and of stored children that it draws

    @property
    def finished(self) -> bool:
        """False when a person interrupted it: such a result is saved but never stored as finished."""
        return self.stopped != "interrupted"

    @property
    def latents(self) -> Latents:
        return Latents(self.ws, self.style_offset, self.noise, self.features, self.tuning)


@dataclass(frozen=True)
class Step:
    """What the loop reports after scoring one face once."""

    face: int
    step: int
    steps: int
    losses: dict[str, float]
    ws: Tensor  # [1, L, D]
    image: Tensor  # [1, 3, R, R]


OnStep = Callable[[Step], None]

# ------------------------------------------------------------------ roles


class Generator(Protocol):
    """A frozen StyleGAN-like network. Differentiable in z, w, ws and noise; its own tensors never need gradients."""

    name: str
    sha256: str  # of its tensors: two generators with the same hash draw the same pictures
    previews_sha256: str  # of what it draws smaller pictures with, if that is not the true picture; else ""
    licence: str
    domain: str  # "face": FFHQ-aligned faces, and photographs are aligned so; "other": they are cropped to their middle
    resolution: int
    num_ws: int
    w_dim: int
    z_dim: int

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""

    def mapping(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> w [N, D]."""

    @property
    def feature_sides(self) -> tuple[int, ...]:
        """Pixels of the features that can be added to; empty where the family cannot."""

    def features(
        self, ws: Tensor, sides: Sequence[int], noise: Sequence[Tensor] | None = None, styles: Tensor | None = None
    ) -> list[Tensor]:
        """Its features [N, S, S, C] of these sides, ascending; `noise`, `styles`: as in `synthesis`."""

    def noise_maps(self) -> list[Tensor]:
        """Its own noise, [1, 1, H, W] a layer, in the order of `synthesis`; empty where the family has none."""

    @property
    def channel_sides(self) -> Tensor:
        """[K]: the pixels of the layer of each channel that can be tuned; empty where none can."""

    @property
    def style_rows(self) -> Tensor:
        """[S]: the row of ws behind each number of `styles`."""

    def styles(self, ws: Tensor) -> Tensor:
        """ws [N, L, D] -> [N, S]: StyleSpace, what the affine layers make of ws."""

    def synthesis(
        self,
        ws: Tensor,
        noise: Sequence[Tensor] | None = None,
        resolution: int | None = None,
        styles: Tensor | None = None,
        features: Tensor | None = None,
        tuning: Tensor | None = None,
    ) -> Tensor:
        """ws [N, L, D] -> image [N, 3, R, R], about -1..1. `noise`: one map a layer, default: the generator's own.

        `resolution`: a smaller picture of the same face, as cheaply as this family can draw it, maybe by approximation;
        None draws the true one. `styles` [N, S]: used instead of those of ws. `features` [N, S, S, C], S one of
        `feature_sides`: added to its own of that size. `tuning` [2, K]: drawn by a copy whose channels are multiplied by 1 +
        the first row and shifted by the second, in a unit of each layer's; its own tensors stay.
        """

    def statistics(self) -> WStatistics:
        """Mean and whitening of W, from 10,000 samples of a fixed seed; computed once."""


class GeneratorSource(Protocol):
    """What a config says of a generator: cheap to hold, to compare and to send to another process."""

    name: ClassVar[str]  # of its option

    def load(self, device: str) -> Generator:
        """Raises UserError for what is missing, damaged or hostile."""


class LatentSpace(Protocol):
    """What the optimiser moves, and how it becomes ws."""

    name: ClassVar[str]

    def encode(self, ws: Tensor, generator: Generator) -> Tensor:
        """ws [N, L, D] -> parameters [N, ...] of this space, as near as the space can come."""

    def decode(self, parameters: Tensor, generator: Generator) -> Tensor:
        """parameters [N, ...] -> ws [N, L, D]; differentiable."""

    def project(self, parameters: Tensor) -> None:
        """Bring parameters that left the space back into it, in place; after every update."""


class Refinement(Protocol):
    """What a photograph has beyond latents, found after them and kept apart: blends and directions do not see it."""

    name: ClassVar[str]

    @property
    def together(self) -> bool:
        """Whether it is found on both parents of a couple at once (`tune`), not on each face by itself."""

    @property
    def steps(self) -> int:
        """Updates it makes for each face."""

    @property
    def previews(self) -> int:
        """Those of them that see the generator's smaller pictures."""

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        """Metrics that are no longer held out."""

    def check(self, generator: Generator) -> None:
        """Raises UserError if it cannot refine what this generator draws: before any face is inverted."""

    def __call__(self, generator: Generator, target: Tensor, found: Inversion, on_step: OnStep) -> Inversion:
        """target [1, 3, R, R] -> the inversion, refined; each step is told as one of face 0."""

    def tune(
        self, generator: Generator, targets: Sequence[Tensor], found: Sequence[Inversion], on_step: OnStep
    ) -> list[Inversion]:
        """Where it is `together`: faces [1, 3, R, R] and their inversions -> the same, with one refinement for all."""


class Start(Protocol):
    """Where the optimiser begins."""

    name: ClassVar[str]

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        """Metrics by which it chooses, which are therefore not held out."""

    @property
    def is_stochastic(self) -> bool:
        """Whether the seed matters."""

    def identity(self, name: str) -> dict[str, Any]:
        """Settings, and a hash of any content it reads, that can change where the face called `name` starts."""

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        """target [1, 3, R, R] -> ws [1, L, D]."""


BoundLoss = Callable[[Trial], "Tensor"]


class Loss(Protocol):
    """A distance, one number a face, so that a batch equals its faces one by one."""

    name: ClassVar[str]

    @property
    def weight(self) -> float:
        """Its factor in the sum."""

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        """Metrics that are no longer held out once this loss is used."""

    def bind(self, target: Target) -> BoundLoss:
        """Compute the target's part once; the result maps a `Trial` to a loss [N]."""


class Blend(Protocol):
    """Two parents' latents -> a child's."""

    def __call__(self, father: Tensor, mother: Tensor, generator: Generator) -> Tensor:
        """father, mother [L, D] -> child [L, D]."""


class Aligner(Protocol):
    """A photograph -> the crop the generator was trained on."""

    name: ClassVar[str]

    def __call__(self, photo: Any, name: str, face: int | None = None, preview: Any = None) -> AlignedFace:
        """`face` counts from the left, None takes the largest; `preview`: where to draw the choice, if there is one.

        Raises UserError naming the file and the remedy.
        """
