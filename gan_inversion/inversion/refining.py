"""The search that refinements share: what is added to an inversion is found by Adam, small pictures first, then true ones.

A refinement says what it moves (`Moved`), and this says how: the same losses, the same schedule, the same verdict on whether
anything was gained. ws stay as they are, so whatever blends or steers them is not touched.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import UserError
from ..image import area_resize
from ..interfaces import Generator, Inversion, Loss, OnStep, Step, Target, Trial
from ..losses.identity import Identity
from ..losses.lpips import LPIPS
from ..losses.pixel import Pixel
from .adam import Adam

log = logging.getLogger(__name__)

PREVIEW = 256  # pixels of the early steps


class Moved(Protocol):
    """What a refinement adds to one inversion, on its way."""

    @property
    def leaves(self) -> Sequence[Tensor]:
        """What Adam moves, each in units of its own."""

    def parts(self) -> dict[str, Any]:
        """Keywords of `Generator.synthesis`, differentiable in the leaves."""

    def held(self, resolution: int | None) -> dict[str, tuple[float, Tensor]]:
        """What holds it back, and says nothing of the picture: name -> weight, and loss [1] of what a step draws."""

    def settle(self) -> None:
        """Bring leaves that left their place back into it; after every update."""

    def kept(self, found: Inversion) -> Inversion:
        """The inversion with it, as it will be stored."""


@dataclass(frozen=True)
class Refining:
    """Settings of the search.

    previews: updates that see a picture of 256 pixels, compared with the true one every `correct_every`; whole: updates that
    see the true one, where details below a preview's pixel are found. learning_rate: of Adam, in units of what is moved,
    falling to a tenth along a cosine over the second half. lpips, pixel, identity, sharp: weights of LPIPS-AlexNet, of the
    squared difference at 256 pixels, of dlib's identity, and of the absolute difference at 512 in the whole steps.
    """

    previews: int = 30
    whole: int = 16
    learning_rate: float = 0.05
    betas: tuple[float, float] = (0.5, 0.9)
    correct_every: int = 10
    lpips: float = 2.0
    pixel: float = 4.0
    identity: float = 0.5
    sharp: float = 2.0

    def __post_init__(self) -> None:
        numbers = (self.previews, self.lpips, self.pixel, self.identity, self.sharp)
        if not all(number >= 0 for number in numbers) or self.whole < 1:  # NaN is refused too
            raise UserError("refine: weights and previews must not be negative, whole at least 1.")
        if not (self.lpips or self.pixel):
            raise UserError("refine.lpips=0 refine.pixel=0: one of them must have a weight.")
        if not self.learning_rate > 0 or self.correct_every < 1:
            raise UserError("refine.learning_rate must be above 0, refine.correct_every at least 1.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"refine.betas={list(self.betas)}: from 0 to below 1")

    @property
    def steps(self) -> int:
        return self.previews + self.whole

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return tuple(name for loss in self.losses("face").values() for name in loss.optimised_metrics)

    def losses(self, domain: str) -> dict[str, Loss]:
        """Those with a weight; `domain` is the generator's: identity is of faces alone."""
        losses: dict[str, Loss] = {
            "identity": Identity(self.identity if domain == "face" else 0.0),
            "lpips": LPIPS(self.lpips),
            "pixel": Pixel(self.pixel, sizes=(PREVIEW,)),
            "sharp": Pixel(self.sharp, "l1", (512,)),
        }
        return {name: loss for name, loss in losses.items() if loss.weight}

    def check(self, generator: Generator) -> None:
        """Raises UserError if the generator has nothing that this refinement moves. Here: all have."""

    def begin(self, generator: Generator, found: Inversion) -> Moved:
        """Where the search of this refinement starts: nothing added. Raises UserError if the generator cannot."""
        raise NotImplementedError

    @property
    def together(self) -> bool:
        """No: on each face by itself."""
        return False

    def tune(
        self, generator: Generator, targets: Sequence[Tensor], found: Sequence[Inversion], on_step: OnStep
    ) -> list[Inversion]:
        raise NotImplementedError

    def __call__(self, generator: Generator, target: Tensor, found: Inversion, on_step: OnStep) -> Inversion:
        """The inversion with what was found, or as it was if that is no better. Raises UserError if the generator cannot."""
        return self.search(generator, [target], [found], [self.begin(generator, found)], on_step)[0]

    def search(
        self,
        generator: Generator,
        targets: Sequence[Tensor],
        found: Sequence[Inversion],
        moved: Sequence[Moved],
        on_step: OnStep,
    ) -> list[Inversion]:
        """One search for some faces [1, 3, R, R], whose `moved` have the same leaves: what is better for all of them summed.

        In a sum of two gradients their order changes no bit.
        """
        views = [_View(self, generator, *one) for one in zip(targets, found, moved, strict=True)]
        adam = Adam([*moved[0].leaves], self.learning_rate, self.betas)
        before = sum(view.score(view.found)["total"] for view in views)
        for step in range(self.steps):
            for i, view in enumerate(views):
                image, losses = view.look(step, whole=step >= self.previews)
                if not math.isfinite(losses["total"]):
                    log.warning("refinement: the loss is %s at step %d; left as it was", losses["total"], step)
                    return [*found]
                on_step(Step(i, step, self.steps, losses, view.found.ws[None], image))
            adam.learning_rate = self.rate(step)
            adam.step()
            moved[0].settle()
            adam.forget()
        refined, scores = [view.moved.kept(view.found) for view in views], []
        for i, (view, one) in enumerate(zip(views, refined, strict=True)):
            scores.append(view.score(one))
            on_step(Step(i, self.steps, self.steps, scores[-1], view.found.ws[None], view.last))
        if not sum(score["total"] for score in scores) < before:
            log.warning("refinement: nothing better was found; left as it was")
            return [*found]
        told = [{f"refined_{name}": value for name, value in score.items()} for score in scores]
        return [replace(one, losses={**one.losses, **more}) for one, more in zip(refined, told, strict=True)]

    def rate(self, step: int) -> float:
        """Learning rate of update `step`."""
        done = step / self.steps
        fall = 1.0 if done < 0.5 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5))
        return self.learning_rate * fall


def drawn_from(generator: Generator, found: Inversion) -> dict[str, Any]:
    """Keywords of `synthesis` by which an inversion is drawn as it is: what a refinement builds upon."""
    device, ws = generator.device, found.ws[None].to(generator.device)
    parts: dict[str, Any] = {"noise": [one[None, None].to(device) for one in found.noise] or None}
    if found.style_offset is not None:
        parts["styles"] = generator.styles(ws) + found.style_offset[None].to(device)
    if found.features is not None:
        parts["features"] = found.features[None].to(device, torch.float32)
    if found.tuning is not None:
        parts["tuning"] = found.tuning.to(device)
    return parts


class _View:
    """One face on its way."""

    def __init__(self, refine: Refining, generator: Generator, target: Tensor, found: Inversion, moved: Moved) -> None:
        self.refine, self.generator, self.found, self.moved = refine, generator, found, moved
        self.ws = found.ws[None].to(generator.device)
        statistics = generator.statistics()
        self.small, self.large = (
            {
                name: (loss.weight, loss.bind(Target(goal, statistics, target)))
                for name, loss in sorted(refine.losses(generator.domain).items())
                if name != "sharp" or goal is target
            }
            for goal in (area_resize(target, min(PREVIEW, target.shape[-1])), target)
        )
        self.correction: Tensor | None = None
        self.last = torch.empty(0)

    def look(self, step: int, whole: bool) -> tuple[Tensor, dict[str, float]]:
        """Add to the leaves' gradients; the picture that was seen, and its losses."""
        resolution, parts = None if whole else min(PREVIEW, self.generator.resolution), self.moved.parts()
        image = self.generator.synthesis(self.ws, resolution=resolution, **parts)
        if not whole and not image.requires_grad:  # a preview in which what moves has no part: the true picture instead
            image = area_resize(self.generator.synthesis(self.ws, **parts), image.shape[-1])
        elif not whole:
            if step % self.refine.correct_every == 0:
                with torch.no_grad():  # as in `loop`: what the preview lacks of the true picture
                    true = self.generator.synthesis(self.ws, **parts)
                    self.correction = area_resize(true, image.shape[-1]) - image.detach()
            assert self.correction is not None
            image = image + self.correction
        values = self._values(image, parts, self.large if whole else self.small) | self.moved.held(resolution)
        total, losses = summed(values)
        total.sum().backward()
        return image.detach(), losses

    @torch.no_grad()
    def score(self, found: Inversion) -> dict[str, float]:
        """Losses of the true picture of an inversion, and of nothing else."""
        parts = drawn_from(self.generator, found)
        self.last = self.generator.synthesis(self.ws, **parts)
        return summed(self._values(self.last, parts, self.large))[1]

    def _values(
        self, image: Tensor, parts: dict[str, Any], losses: dict[str, tuple[float, Callable[[Trial], Tensor]]]
    ) -> dict[str, tuple[float, Tensor]]:
        trial = Trial(image, self.ws, tuple(parts.get("noise") or ()))
        return {name: (weight, loss(trial)) for name, (weight, loss) in losses.items()}


def summed(values: Mapping[str, tuple[float, Tensor]]) -> tuple[Tensor, dict[str, float]]:
    """Name -> weight and loss [1]: the weighted sum [1], and each with it on record."""
    ordered = dict(sorted(values.items()))  # sums round
    total = torch.stack([weight * value for weight, value in ordered.values()]).sum(0)
    return total, {name: value.item() for name, (_, value) in ordered.items()} | {"total": total.item()}
