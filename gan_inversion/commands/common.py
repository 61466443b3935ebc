"""What commands share: their common keys, and what they make of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..blending.inheritance import Inherit, children
from ..blending.offspring import Conception, prepare
from ..blending.recipes import Recipe
from ..editing.steering import FixedSteps, Steering
from ..errors import UserError
from ..execution.work import Runner
from ..faces.centre import CentreCrop
from ..image.c2pa import C2PA
from ..interfaces import Aligner, Generator, GeneratorSource, LatentSpace, Loss, Refinement, Start
from ..inversion.inverter import InverterSource
from ..inversion.loop import Optimiser
from ..metrics.reconstruction import check_names
from ..metrics.verdict import check_require, judge
from ..report.run_folder import RunFolder, open_folder, provenance
from ..report.trace import check_events, save_events
from ..store.inversions import Inverted, Task
from ..store.keys import job_of
from ..store.store import Store


def at_least(least: float, default: Any = MISSING) -> Any:
    """A key whose value must not be smaller. `default`: for commands whose config has no such key."""
    return field(default=default, metadata={"least": least})


@dataclass(frozen=True)
class Invocation:
    """How a command was called."""

    command: str
    typed: tuple[str, ...]  # keys that were set on the command line
    texts: Mapping[str, str]  # file name -> the composed config, and what was typed: for the run folder
    compose: Callable[[str, Sequence[str]], dict[str, Any]]  # the config of a command with these overrides


@dataclass(frozen=True, kw_only=True)
class Generating:
    """Keys of commands that draw with a generator."""

    output_dir: str
    private: bool
    generator: GeneratorSource
    device: str
    threads: int | None = at_least(1)


@dataclass(frozen=True, kw_only=True)
class Common(Generating):
    """Keys of commands whose folder is of one job."""

    overwrite: bool
    seed: int = at_least(0)
    mark: C2PA | None = None


@dataclass(frozen=True, kw_only=True)
class Inverting(Common):
    """Keys of commands that invert photographs."""

    of_couples: ClassVar[bool] = False  # whether the photographs are parents, two and two

    aligner: Aligner
    space: LatentSpace
    start: Start
    losses: Mapping[str, Loss] = field(default_factory=dict)  # losses=[] composes no such key
    inversion: Optimiser
    runner: Runner
    store: Store
    refine: Refinement | None = None
    metrics: tuple[str, ...]
    trace: int = at_least(0, 0)
    tensorboard: bool = False

    def inverter(self) -> InverterSource:
        """Raises UserError for single faces that are to be tuned together."""
        if self.refine is not None and self.refine.together and not self.of_couples:
            raise UserError(
                "refine.together=true: one copy for both parents is for family and batch, not for single faces."
            )
        return InverterSource(
            self.generator, self.device, self.space, self.start, self.losses, self.inversion, self.refine
        )

    def judging(self) -> dict[str, Any]:
        """What decides which inversions are accepted: it changes none of them, but what comes of them."""
        return {"require": self.inversion.require, "judge": self.task().judge}

    def save_events(self, folder: RunFolder, found: Sequence[Inverted], generator: Generator) -> None:
        """The traces as events of TensorBoard, if that was asked for."""
        traces = {item.face.name: item.trace for item in found if item.trace}
        if self.tensorboard and traces:
            save_events(folder, traces, self.trace, provenance(generator))

    def task(self) -> Task:
        """What runners hand to their workers. Raises UserError for unknown metrics, and events of no trace."""
        if self.tensorboard:
            check_events(self.trace)
        require = self.inversion.require
        check_require(require)
        metrics = (*self.metrics, judge()) if require else self.metrics
        check_names(metrics)
        return Task(self.inverter().load, tuple(dict.fromkeys(metrics)), self.trace, require)


@dataclass(frozen=True, kw_only=True)
class Conceiving(Common):
    """Keys of commands that make children."""

    blend: Recipe
    inherit: Inherit
    child: Steering | FixedSteps
    siblings: int = at_least(1, 1)
    siblings_only: tuple[int, ...] | None = None
    twins: tuple[int, ...] = ()
    diversity: float = at_least(0)

    def conception(self, generator: Generator) -> Conception:
        """Everything that makes the children, loaded and checked. Raises UserError for what does not fit."""
        rows = generator.num_ws
        recipes = children(self.blend, self.siblings, self.siblings_only, self.seed, self.diversity, rows, self.twins)
        return prepare(recipes, self.inherit, self.child, generator)


def fitting(aligner: Aligner, generator: Generator) -> Aligner:
    """The aligner at the generator's resolution, unless it names a size of its own.

    For generators of other things than faces photographs are cropped to their middle, whatever was chosen.
    """
    return _fitting(aligner, generator.resolution, generator.domain)  # type: ignore[arg-type]  # all are frozen


@lru_cache(maxsize=2)  # an aligner holds its detectors
def _fitting(aligner: Any, resolution: int, domain: str) -> Aligner:
    if domain != "face":
        aligner = CentreCrop(aligner.size)
    fitted: Aligner = aligner if aligner.size else dataclasses.replace(aligner, size=resolution)
    return fitted


def open_job(
    keys: Common | Generating, call: Invocation, inputs: Iterable[str | Path], **content: Any
) -> tuple[RunFolder, dict[str, Any]]:
    """The command's folder, and the job that it is now of. `content`: hashes of what the paths among its keys name."""
    job, mark = job_of(call.command, keys) | content, getattr(keys, "mark", None)
    if mark:
        mark.check()
    return open_folder(keys.output_dir, job, call.texts, getattr(keys, "overwrite", False), inputs, mark), job
