"""GAN inversion by optimisation: ws* = argmin over ws of sum_k weight_k * loss_k(G(ws), face). Zhu 2016; Abdal 2019.

The generator is frozen. Faces never influence each other: each has its own parameters, optimiser, random numbers,
early stop and best step, so a batch equals its faces one by one; on a CPU they also pass the network one by one,
because there a larger batch rounds differently and is no faster.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..image import area_resize
from ..interfaces import BoundLoss, Generator, Inversion, LatentSpace, Loss, OnStep, Start, Step, Target, Trial
from .adam import Adam
from .noise_map import NoiseMap

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Optimiser:
    """Adam, its schedule, and when to stop. Every field is a config key of the group `inversion`."""

    name: ClassVar[str] = "adam"

    steps: int = 48  # updates; the result of the last one is scored too
    previews: tuple[int, ...] = (
        128,
        256,
    )  # resolutions of the early steps, coarse to fine; the others see the true picture
    previews_until: tuple[float, ...] = (0.45, 0.96)  # share of the steps at which each of them ends
    correct_every: int = (
        8  # steps of the last kind of preview after which it is compared with the true picture; 0: never
    )
    learning_rate: float = 0.12
    betas: tuple[float, float] = (0.5, 0.9)
    warmup: int = 1  # steps over which the rate rises linearly
    hold: float = 0.8  # share of the steps after which the rate falls to 0 along a cosine
    noise_maps: bool = False  # optimise the generator's noise maps too; losses=[...,noise] keeps them noise
    latent_noise: float = 0.0  # standard deviation, in those of W, of noise added to ws while searching
    latent_noise_until: float = 0.75  # share of the steps at which that noise has faded out
    keep: str = "best"  # best | last: which scored step is returned
    patience: int = 0  # stop a face that has not improved for so many steps; 0: never
    min_improvement: float = 0.001  # relative; less than this does not count as improving
    target: float | None = None  # stop a face whose total loss is this low
    require: str | None = "warn"  # what a verdict must at least be (`metrics.verdict`); None: no verdict is given

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last"):
            raise UserError(f"inversion.keep={self.keep}: choose best or last")
        if min(self.steps, self.warmup, self.patience, self.correct_every) < 0 or self.learning_rate <= 0:
            raise UserError(
                "inversion: steps, warmup, patience, correct_every must not be negative; learning_rate must be above 0"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"inversion.betas={list(self.betas)}: from 0 to below 1")
        if len(self.previews) != len(self.previews_until) or list(self.previews_until) != sorted(self.previews_until):
            raise UserError("inversion.previews and inversion.previews_until: one rising share for each resolution")
        if any(resolution < 16 for resolution in self.previews) or any(not 0 <= x <= 1 for x in self.previews_until):
            raise UserError("inversion.previews must be at least 16 pixels, inversion.previews_until from 0 to 1")
        if (self.patience or self.target is not None) and self.previews_until[-1:] == (1.0,):
            raise UserError(
                "inversion.patience and inversion.target judge true pictures, and all steps are previews: "
                "set inversion.previews=[] inversion.previews_until=[]"
            )

        seen = sum(self.resolution(step) is None for step in range(self.steps + 1))
        if self.patience and seen <= self.patience:
            raise UserError(
                f"inversion.patience={self.patience} judges true pictures, and {seen} of the steps see them: it would stop "
                "nothing. Set it lower, or inversion.previews=[] inversion.previews_until=[] and more inversion.steps."
            )

    def settings(self) -> dict[str, Any]:
        """The fields that can change this recipe's result."""
        fields = asdict(self)
        del fields["require"]  # judges the result, and changes nothing in it
        if not self.patience:
            del fields["min_improvement"]
        if not self.latent_noise:
            del fields["latent_noise_until"]
        if not self.previews:
            del fields["correct_every"]
        return fields

    def rate(self, step: int) -> float:
        """Learning rate of update `step`: linear warm-up, plateau, cosine to 0."""
        done = step / max(self.steps, 1)
        fall = 1.0 if done <= self.hold else 0.5 * (1 + math.cos(math.pi * (done - self.hold) / (1 - self.hold)))
        return self.learning_rate * min(1.0, (step + 1) / max(self.warmup, 1)) * fall

    def resolution(self, step: int) -> int | None:
        """What step `step` renders; None is the true picture, which the last step always sees."""
        if step < self.steps:
            for resolution, until in zip(self.previews, self.previews_until, strict=True):
                if step < round(until * self.steps):
                    return resolution
        return None

    def corrects(self, step: int) -> bool:
        """Whether at `step` the preview is compared with the true picture: at the first of the last kind, and so on."""
        kind = self.resolution(step)
        if not self.correct_every or kind is None or kind != self.previews[-1]:
            return False
        first = next(i for i in range(step + 1) if self.resolution(i) == kind)
        return (step - first) % self.correct_every == 0

    def noise_scale(self, step: int) -> float:
        """Falls quadratically to 0 at `latent_noise_until` (the ramp of the StyleGAN2 projector)."""
        left = 1 - step / max(self.steps * self.latent_noise_until, 1e-9)
        return self.latent_noise * max(0.0, left) ** 2


@dataclass
class _Face:
    """One face on its way. Only the loop touches it."""

    index: int
    name: str
    target: Tensor  # [1, 3, R, R]
    parameters: Tensor  # [1, ...] of the space
    noise: list[NoiseMap]  # empty unless they are optimised
    adam: Adam
    losses: dict[int | None, list[tuple[str, float, BoundLoss]]]  # by resolution of the step; None: the true picture
    random: torch.Generator
    correction: Tensor | None = None  # [1, 3, r, r]: what the last kind of preview lacked of the true picture
    best: Inversion | None = None
    best_total: float = math.inf
    reference: float = math.inf  # total loss that patience is counted from
    reference_step: int = 0
    updates: int = 0
    scores: dict[str, float] = field(default_factory=dict)


def invert(
    generator: Generator,
    faces: Tensor,
    space: LatentSpace,
    start: Start,
    losses: Mapping[str, Loss],
    optimiser: Optimiser,
    seeds: Sequence[int],
    names: Sequence[str],
    on_step: OnStep | None = None,
) -> list[Inversion]:
    """Recover each face's latents.

    faces: [N, 3, R, R] in [-1, 1], on the generator's device, R its resolution; seeds and names: one a face. Returns N
    inversions in the same order, scored on the true picture. Ctrl-C ends all that still run with their best step so far,
    marked interrupted; a face whose loss becomes NaN ends with its best step and a warning: among previews, both are the
    best of those.
    """
    if not losses:
        raise UserError("losses=[]: at least one loss is needed")
    if optimiser.noise_maps and not generator.noise_maps():
        raise UserError(
            "inversion.noise_maps=true: this generator has no noise maps. Leave it out, and the loss noise."
        )
    statistics = generator.statistics()
    active, results = [], {}
    for i, (face, seed, name) in enumerate(zip(faces.split(1), seeds, names, strict=True)):
        begin = start(generator, face, name, seed)
        parameters = space.encode(begin, generator).detach().clone().requires_grad_()
        noise = [NoiseMap(one) for one in generator.noise_maps()] if optimiser.noise_maps else []
        adam = Adam([parameters, *(one.unit for one in noise)], optimiser.learning_rate, optimiser.betas)
        bound = {
            resolution: [
                (key, loss.weight, loss.bind(Target(goal, statistics, face))) for key, loss in sorted(losses.items())
            ]  # sorted: sums round
            for resolution, goal in _goals(face, optimiser).items()
        }
        random = torch.Generator().manual_seed(seed)
        active.append(_Face(i, name, face, parameters, noise, adam, bound, random))
    together = len(active) if faces.device.type != "cpu" else 1
    try:
        for step in range(optimiser.steps + 1):
            update, resolution = step < optimiser.steps, optimiser.resolution(step)
            if resolution != optimiser.resolution(step - 1):
                for face in active:  # totals of different pictures do not compare: only the last kind is kept
                    face.best_total = face.reference = math.inf
            for chunk in (active[i : i + together] for i in range(0, len(active), max(together, 1))):
                with torch.set_grad_enabled(update):
                    ws = torch.cat([_latents(face, step, space, generator, optimiser) for face in chunk])
                    drawn = [tuple(one() for one in face.noise) for face in chunk]
                    maps = [torch.cat(layer) for layer in zip(*drawn, strict=True)] or None
                    images = generator.synthesis(ws, maps, resolution)
                    if optimiser.corrects(step):
                        _correct(chunk, generator, ws, maps, images)
                    if resolution is not None and resolution == optimiser.previews[-1] and optimiser.correct_every:
                        images = images + torch.cat([_known(face.correction) for face in chunk])
                    trials = [Trial(*parts) for parts in zip(images.split(1), ws.split(1), drawn, strict=True)]
                    totals = [_score(face, trial, resolution) for face, trial in zip(chunk, trials, strict=True)]
                    if update:
                        torch.cat(totals).sum().backward()
                for face, trial in zip(chunk, trials, strict=True):
                    _keep(face, trial, step, generator, optimiser)
                    if on_step:
                        row, image = trial.ws.detach(), trial.image.detach()
                        on_step(Step(face.index, step, optimiser.steps, face.scores, row, image))
            for face in list(active):
                reason = _reason_to_stop(face, step, optimiser, resolution is not None)
                if reason:
                    results[face.index] = _finish(face, reason)
                    active.remove(face)
                elif update:
                    face.adam.learning_rate = optimiser.rate(step)
                    face.adam.step()
                    with torch.no_grad():
                        space.project(face.parameters)
                    for one in face.noise:
                        one.renormalise()
                    face.adam.forget()
                    face.updates += 1
            if not active:
                break
        results.update({face.index: _finish(face, "budget") for face in active})
    except KeyboardInterrupt:
        if any(face.best is None for face in active):
            raise  # nothing was scored yet: there is nothing to keep
        log.warning("interrupted: keeping the best of %s so far", ", ".join(face.name for face in active))
        results.update({face.index: _finish(face, "interrupted") for face in active})
    return [results[i] for i in range(len(faces))]


@torch.no_grad()
def _correct(
    faces: Sequence[_Face], generator: Generator, ws: Tensor, maps: list[Tensor] | None, previews: Tensor
) -> None:
    """Note what the previews [N, 3, r, r] of these ws lack of the true pictures (defect correction, Stetter 1978).

    A preview is a cheap model of the generator with an error of its own, which hardly changes from step to step. A search
    that sees preview plus error ends where the true picture, not the preview, is like the face.
    """
    maps = maps and [one.detach() for one in maps]
    true = area_resize(generator.synthesis(ws.detach(), maps), previews.shape[-1])
    for face, lacks in zip(faces, (true - previews).split(1), strict=True):
        face.correction = lacks


def _known(correction: Tensor | None) -> Tensor:
    assert correction is not None  # the first step of this kind made it
    return correction


def _latents(face: _Face, step: int, space: LatentSpace, generator: Generator, optimiser: Optimiser) -> Tensor:
    ws = space.decode(face.parameters, generator)
    scale = optimiser.noise_scale(step)
    if scale > 0:
        spread = generator.statistics().w_std.square().mean().sqrt().item()
        rows = ws.shape[1] if face.parameters.ndim == 3 else 1  # in W and Z the rows are one, and stay so
        noise = torch.randn(1, rows, ws.shape[2], generator=face.random).to(ws.device)
        ws = ws + noise * (scale * spread)
    return ws


def _goals(face: Tensor, optimiser: Optimiser) -> dict[int | None, Tensor]:
    """The face at each resolution that a step may render."""
    full = face.shape[-1]
    return {None: face} | {size: area_resize(face, min(size, full)) for size in optimiser.previews}


def _score(face: _Face, trial: Trial, resolution: int | None) -> Tensor:
    """The weighted sum [1], and each term on record."""
    values = {key: (weight, loss(trial)) for key, weight, loss in face.losses[resolution]}
    total = torch.stack([weight * value for weight, value in values.values()]).sum(0)
    face.scores = {key: value.item() for key, (_, value) in values.items()} | {"total": total.item()}
    return total


def _keep(face: _Face, trial: Trial, step: int, generator: Generator, optimiser: Optimiser) -> None:
    """Record the step if it is the one to return. The very ws and noise that were scored are kept."""
    total = face.scores["total"]
    if not math.isfinite(total):
        return
    if total < face.best_total or optimiser.keep == "last":
        face.best_total = min(total, face.best_total)
        ws, *noise = (one.detach()[0].cpu().clone() for one in (trial.ws, *trial.noise))
        maps, scores = tuple(one[0] for one in noise), dict(face.scores)
        face.best = Inversion(ws, generator.sha256, {}, scores, step, noise=maps)
    if total < face.reference * (1 - optimiser.min_improvement):
        face.reference, face.reference_step = total, step


def _reason_to_stop(face: _Face, step: int, optimiser: Optimiser, preview: bool) -> str | None:
    total = face.scores["total"]
    gradients = [leaf.grad for leaf in (face.parameters, *(one.unit for one in face.noise)) if leaf.grad is not None]
    if not math.isfinite(total) or not all(bool(gradient.isfinite().all()) for gradient in gradients):
        if face.best is None:
            raise UserError(f"{face.name}: the loss is {total} at the very start. Check the losses and the start.")
        log.warning(
            "%s: loss or gradient became infinite at step %d; keeping step %d", face.name, step, face.best.best_step
        )
        return "diverged"
    if preview:
        return None
    if optimiser.target is not None and total <= optimiser.target:
        return "target"
    if optimiser.patience and step - face.reference_step >= optimiser.patience:
        return "plateau"
    return None


def _finish(face: _Face, reason: str) -> Inversion:
    assert face.best is not None
    best = face.best
    return replace(best, steps=face.updates, stopped=reason)
