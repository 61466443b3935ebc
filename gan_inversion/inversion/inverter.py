"""Everything an inversion needs, in one object: generator, space, start, losses, optimiser, and its identity."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..image import area_resize, to_tensor
from ..interfaces import (
    AlignedFace,
    Generator,
    GeneratorSource,
    Inversion,
    LatentSpace,
    Loss,
    OnStep,
    Refinement,
    Start,
    Step,
)
from ..latents import describe, face_bytes, hash_of
from ..losses.identity import Identity
from ..losses.lpips import LPIPS
from ..losses.pixel import Pixel
from ..losses.prior import DeltaNorm, PNorm
from ..spaces.p import P
from .loop import Optimiser, invert
from .starts import FromEncoder


@dataclass(frozen=True)
class Inverter:
    """`inverter(faces, seeds)` recovers latents; `inverter.key(face, seed)` names the result before it exists."""

    generator: Generator
    space: LatentSpace
    start: Start
    losses: Mapping[str, Loss]
    optimiser: Optimiser
    refine: Refinement | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a refinement that does not fit the generator: not after each face's search."""
        if self.refine:
            self.refine.check(self.generator)

    @property
    def steps(self) -> int:
        """Updates for each face."""
        return self.optimiser.steps + (self.refine.steps + 1 if self.refine else 0)

    def __call__(
        self, faces: Sequence[AlignedFace], seeds: Sequence[int], on_step: OnStep | None = None
    ) -> list[Inversion]:
        """One inversion a face, in order, each with the settings that made it."""
        targets = torch.cat([self._target(face) for face in faces])
        names = [face.name for face in faces]
        listen = self._counted(on_step) if on_step and self.refine else on_step
        found = invert(
            self.generator, targets, self.space, self.start, self.losses, self.optimiser, seeds, names, listen
        )
        if self._refines_each:
            found = self._each_refined(targets, found, on_step)
        return [
            dataclasses.replace(result, settings=self.settings(seed, name))
            for result, seed, name in zip(found, seeds, names, strict=True)
        ]

    def settings(self, seed: int, name: str = "") -> dict[str, Any]:
        """Everything but the face that can change the result, down to the last bit; no path, runner or folder.

        `name` is the face's, and matters only where the start looks latents up by it.
        """
        return {
            "generator": self.generator.sha256,
            "previews": self.generator.previews_sha256 if self._sees_previews else "",
            "space": describe(self.space),
            "start": self.start.identity(name),
            "losses": {key: describe(loss) for key, loss in self.losses.items()},
            "optimiser": describe(self.optimiser),
            "refine": describe(self.refine) if self.refine and self._refines_each else None,
            "statistics": self.generator.statistics().sha256,
            "seed": seed if self.is_stochastic else None,
            "device": self.generator.device.type,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "dtype": "float32",
            "torch": torch.__version__,
            "gan_inversion": __version__,
        }

    def _counted(self, on_step: OnStep) -> OnStep:
        """The steps of the search as the first of all."""
        return lambda step: on_step(dataclasses.replace(step, steps=self.steps))

    @property
    def _sees_previews(self) -> bool:
        return bool(self.optimiser.previews) or (self.refine is not None and self.refine.previews > 0)

    def _each_refined(self, targets: Tensor, found: Sequence[Inversion], on_step: OnStep | None) -> list[Inversion]:
        """One after the other. After Ctrl-C, here or before, nothing is begun: what was not refined is not finished."""
        done: list[Inversion] = []
        for i, one in enumerate(found):
            if all(other.finished for other in (*found, *done)):
                done.append(self._refined(i, targets[i : i + 1], one, on_step))
            else:
                done.append(dataclasses.replace(one, stopped="interrupted"))
        return done

    def _refined(self, index: int, target: Tensor, found: Inversion, on_step: OnStep | None) -> Inversion:
        """What is interrupted here keeps its latents, and is marked so."""
        if self.refine is None or not found.finished:
            return found
        try:
            return self.refine(self.generator, target, found, self._later([index], on_step))
        except KeyboardInterrupt:
            return dataclasses.replace(found, stopped="interrupted")

    def _later(self, faces: Sequence[int], on_step: OnStep | None) -> OnStep:
        """The steps of a refinement of these faces as the last of all."""
        first = self.optimiser.steps + 1

        def listen(step: Step) -> None:
            if on_step:
                number = first + step.step
                on_step(dataclasses.replace(step, face=faces[step.face], step=number, steps=self.steps))

        return listen

    def _target(self, face: AlignedFace) -> Tensor:
        """[1, 3, R, R], on the generator's device."""
        return area_resize(to_tensor(face.pixels), self.generator.resolution).to(self.generator.device)

    @property
    def _refines_each(self) -> bool:
        return self.refine is not None and not self.refine.together

    def tune(
        self, faces: Sequence[AlignedFace], found: Sequence[Inversion], on_step: OnStep | None = None
    ) -> list[Inversion]:
        """The two parents of a couple and their inversions -> the same, refined together: what `refine.together` says.

        Its result is not that of a face: see `keys_of_couple`. Ctrl-C keeps what there was, marked interrupted.
        """
        if self.refine is None or not self.refine.together:
            raise ValueError("nothing is refined together")
        targets = [self._target(face) for face in faces]
        try:
            tuned = self.refine.tune(self.generator, targets, found, self._later([0, 1], on_step))
        except KeyboardInterrupt:
            return [dataclasses.replace(one, stopped="interrupted") for one in found]
        told = describe(self.refine)
        return [dataclasses.replace(one, settings={**one.settings, "refine": told}) for one in tuned]

    def keys_of_couple(self, keys: Sequence[str]) -> list[str]:
        """Identities of the results of `tune`, of those of its faces: each knows the other, in whatever order they came."""
        told = json.dumps(describe(self.refine), sort_keys=True)
        return [hash_of(f"{key} with {' '.join(sorted(keys))} {told}".encode()) for key in keys]

    @property
    def is_stochastic(self) -> bool:
        """Whether anything is drawn at random. If not, all seeds have one result, and one key."""
        return self.start.is_stochastic or self.optimiser.latent_noise > 0

    @property
    def pursued(self) -> set[str]:
        """Metrics that this recipe optimises or chooses by: reported as such, never as quality."""
        refined = self.refine.optimised_metrics if self.refine else ()
        return {
            *self.start.optimised_metrics,
            *refined,
            *(name for loss in self.losses.values() for name in loss.optimised_metrics),
        }

    def key(self, face: AlignedFace, seed: int) -> str:
        """Identity of a result, before it exists: hash of the aligned pixels and the settings."""
        return hash_of(face_bytes(face.pixels) + json.dumps(self.settings(seed, face.name), sort_keys=True).encode())


@dataclass(frozen=True)
class InverterSource:
    """An `Inverter` without its network: to be sent to other processes, each of which loads it once."""

    generator: GeneratorSource
    device: str
    space: LatentSpace
    start: Start
    losses: Mapping[str, Loss]
    optimiser: Optimiser
    refine: Refinement | None = None

    def load(self) -> Inverter:
        """The same object as long as the same is asked for; one is held at a time."""
        if not _loaded or _loaded[0][0] != self:
            _loaded.clear()  # before the next one needs its memory
            generator = self.generator.load(self.device)
            inverter = Inverter(generator, self.space, self.start, self.losses, self.optimiser, self.refine)
            _loaded.append((self, inverter))
        return _loaded[0][1]


_loaded: list[tuple[InverterSource, Inverter]] = []


def default_inverter(generator: Generator, **optimiser: Any) -> Inverter:
    """The default recipe of `scripts/family.py`, for notebooks; keywords go to `Optimiser`."""
    losses: list[Loss] = [LPIPS(), Pixel(), Identity(), DeltaNorm(), PNorm()]
    return Inverter(generator, P(), FromEncoder(), {one.name: one for one in losses}, Optimiser(**optimiser))
