"""What a photograph has beyond latents, found after them: the idea of BDInvert and StyleFeatureEditor, by optimisation.

Latents inside the population are the person as the generator would draw it: hands, a microphone, a background, the very
hair are not in them. They are added to the features of one layer, which the generator's own layers go on to draw. ws stay
as they are, so whatever blends or steers them is not touched; an edit of ws moves the features below the delta, which stays.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..image import area_resize
from ..interfaces import Generator, Inversion, Loss, OnStep, Step, Target, Trial
from ..losses.identity import Identity
from ..losses.lpips import LPIPS
from ..losses.pixel import Pixel

log = logging.getLogger(__name__)

PREVIEW = 256  # pixels of the early steps


@dataclass(frozen=True)
class Features:
    """An additive delta on the features of `side` pixels (Kang 2021, arXiv 2109.06075; Bobkov 2024, arXiv 2406.10601).

    previews: updates that see a picture of 256 pixels, compared with the true one every `correct_every`; whole: updates that
    see the true one, where details below a preview's pixel are found. learning_rate: of Adam, in standard deviations of each
    channel, falling to a tenth along a cosine over the second half. lpips, pixel, identity, sharp: weights of LPIPS-AlexNet,
    of the squared difference at 256 pixels, of dlib's identity, and of the absolute difference at 512 in the whole steps.
    """

    name: ClassVar[str] = "features"

    side: int = 64
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
        if min(self.previews, self.lpips, self.pixel, self.identity, self.sharp) < 0 or self.whole < 1:
            raise UserError("refine: weights and previews must not be negative, whole at least 1.")
        if self.learning_rate <= 0 or self.correct_every < 1:
            raise UserError("refine.learning_rate must be above 0, refine.correct_every at least 1.")

    @property
    def steps(self) -> int:
        return self.previews + self.whole

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return tuple(name for loss in self._losses("face").values() for name in loss.optimised_metrics)

    def _losses(self, domain: str) -> dict[str, Loss]:
        losses: dict[str, Loss] = {
            "identity": Identity(self.identity if domain == "face" else 0.0),
            "lpips": LPIPS(self.lpips),
            "pixel": Pixel(self.pixel),
            "sharp": Pixel(self.sharp, "l1", (512,)),
        }
        return {name: loss for name, loss in losses.items() if loss.weight}

    def __call__(self, generator: Generator, target: Tensor, found: Inversion, on_step: OnStep) -> Inversion:
        """The inversion with what was found, or as it was if that is no better. Raises UserError if the generator cannot."""
        if self.side not in generator.feature_sides:
            sides = ", ".join(map(str, generator.feature_sides)) or "none that can be added to"
            raise UserError(f"refine.side={self.side}: the features of this generator are {sides}.")
        search = _Search(self, generator, target, found)
        before = search.score(None)["total"]
        for step in range(self.steps):
            image, losses = search.update(step, whole=step >= self.previews)
            if not math.isfinite(losses["total"]):
                log.warning("refinement: the loss is %s at step %d; left as it was", losses["total"], step)
                return found
            on_step(Step(0, step, self.steps, losses, found.ws[None], image))
        delta = search.delta.detach().half()  # as it will be stored
        scores = search.score(delta)
        on_step(Step(0, self.steps, self.steps, scores, found.ws[None], search.last))
        if not scores["total"] < before:
            log.warning("refinement: nothing better was found; left as it was")
            return found
        refined = {f"refined_{name}": value for name, value in scores.items()}
        return replace(found, features=delta[0].cpu(), losses={**found.losses, **refined})

    def rate(self, step: int) -> float:
        """Learning rate of update `step`."""
        done = step / self.steps
        fall = 1.0 if done < 0.5 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5))
        return self.learning_rate * fall


class _Search:
    """One face's delta on its way, in standard deviations of each channel."""

    def __init__(self, refine: Features, generator: Generator, target: Tensor, found: Inversion) -> None:
        self.refine, self.generator = refine, generator
        self.ws = found.ws[None].to(generator.device)
        self.noise = [one[None, None].to(generator.device) for one in found.noise] or None
        with torch.no_grad():
            (own,) = generator.features(self.ws, [refine.side])
        self.unit = own.std((0, 1, 2))  # [C]
        self.moved = torch.zeros_like(own).requires_grad_()
        self.adam = torch.optim.Adam([self.moved], lr=refine.learning_rate, betas=refine.betas)
        statistics = generator.statistics()
        self.small, self.large = (
            {
                name: (loss.weight, loss.bind(Target(goal, statistics)))
                for name, loss in sorted(refine._losses(generator.domain).items())
                if name != "sharp" or goal is target
            }
            for goal in (area_resize(target, min(PREVIEW, target.shape[-1])), target)
        )
        self.correction: Tensor | None = None
        self.last = torch.empty(0)

    @property
    def delta(self) -> Tensor:
        return self.moved * self.unit

    def draw(self, delta: Tensor | None, resolution: int | None) -> Tensor:
        return self.generator.synthesis(self.ws, self.noise, resolution, None, delta)

    def update(self, step: int, whole: bool) -> tuple[Tensor, dict[str, float]]:
        """One step of Adam; the picture that it saw, and its losses."""
        resolution = None if whole else min(PREVIEW, self.generator.resolution)
        image = self.draw(self.delta, resolution)
        if not whole:
            if step % self.refine.correct_every == 0:
                with torch.no_grad():  # as in `loop`: what the preview lacks of the true picture
                    self.correction = area_resize(self.draw(self.delta, None), image.shape[-1]) - image.detach()
            assert self.correction is not None
            image = image + self.correction
        total, losses = self._sum(image, self.large if whole else self.small)
        total.sum().backward()
        self.adam.param_groups[0]["lr"] = self.refine.rate(step)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return image.detach(), losses

    @torch.no_grad()
    def score(self, delta: Tensor | None) -> dict[str, float]:
        """Losses of the true picture with `delta`."""
        self.last = self.draw(None if delta is None else delta.float(), None)
        return self._sum(self.last, self.large)[1]

    def _sum(
        self, image: Tensor, losses: dict[str, tuple[float, Callable[[Trial], Tensor]]]
    ) -> tuple[Tensor, dict[str, float]]:
        trial = Trial(image, self.ws)
        values = {name: (weight, loss(trial)) for name, (weight, loss) in losses.items()}
        total = torch.stack([weight * value for weight, value in values.values()]).sum(0)
        return total, {name: value.item() for name, (_, value) in values.items()} | {"total": total.item()}
