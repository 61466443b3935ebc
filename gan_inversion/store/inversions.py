"""Faces -> records, each inverted once: what the store has is taken from it, the rest goes to the runner."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..execution.work import Job, Listed, Runner
from ..interfaces import AlignedFace, Inversion, OnStep
from ..inversion.inverter import Inverter
from ..inversion.trace import Recorder, Trace
from ..metrics.reconstruction import evaluate
from ..metrics.verdict import JUDGES, SAME, Verdict, refused, verdict_of
from .store import INVERSIONS, Record, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task(Job):
    """Inversions of faces, and their metrics."""

    make_inverter: Callable[[], Inverter]
    metrics: tuple[str, ...]
    trace_every: int = 0
    require: str | None = None  # the least verdict that is accepted; None: none is given

    @property
    def judge(self) -> str | None:
        """The metric that verdicts are given by; None where none are."""
        return next((name for name in JUDGES if name in self.metrics), None) if self.require else None

    def verdict(self, record: Record) -> Verdict | None:
        """By the metrics that were asked for, whatever others the store has."""
        return (
            verdict_of({self.judge: record.metrics[self.judge]}, self.make_inverter().pursued) if self.judge else None
        )

    def refusal(self, record: Record) -> str:
        """Why an inversion is not accepted; empty if it is, or was cut short: what is not finished is not judged."""
        return refused(self.verdict(record), self.require) if record.inversion.finished else ""

    @property
    def together(self) -> int:
        """On a CPU faces pass the network one by one anyway."""
        return 2 if self.make_inverter().generator.device.type == "cpu" else 16

    def __call__(self, items: Sequence[tuple[AlignedFace, int]], on_step: OnStep) -> list[tuple[Record, Trace | None]]:
        """Invert and measure (face, seed) pairs."""
        inverter = self.make_inverter()
        recorder = Recorder(self.trace_every, on_step) if self.trace_every else None
        begin = time.perf_counter()
        faces, seeds = [face for face, _ in items], [seed for _, seed in items]
        found = inverter(faces, seeds, recorder or on_step)
        seconds = (time.perf_counter() - begin) / max(len(items), 1)
        results = []
        for i, (face, inversion) in enumerate(zip(faces, found, strict=True)):
            metrics = evaluate(face, inversion, inverter.generator, self.metrics)
            results.append((Record(inversion, metrics, seconds), recorder.trace(i) if recorder else None))
        return results


@dataclass(frozen=True)
class Inverted:
    """One face's record, where it came from, and its trace if one was asked for and made."""

    face: AlignedFace
    record: Record
    key: str
    from_store: bool
    trace: Trace | None = None
    verdict: Verdict | None = None

    @property
    def inversion(self) -> Inversion:
        return self.record.inversion


def tell(name: str, verdict: Verdict | None) -> None:
    """Say it, loudly where it is not the person."""
    if verdict is not None:
        log.log(logging.INFO if verdict.word == SAME else logging.WARNING, "%s: the inversion is %s", name, verdict)


@dataclass(frozen=True)
class Failed:
    """A face that could not be inverted, and why."""

    face: AlignedFace
    reason: str


def tuned_couple(
    couple: Sequence[Inverted], task: Task, store: Store, on_step: OnStep | None = None
) -> tuple[list[Inverted], list[Failed]]:
    """Two inverted parents in one tuned copy, as `refine.together` asks, measured and judged anew; stored under both faces.

    `couple`: inverted without a verdict. After Ctrl-C they are as they were, marked interrupted.
    """
    inverter, faces = task.make_inverter(), [one.face for one in couple]
    keys = inverter.keys_of_couple([one.key for one in couple])
    known = [store.get(key) for key in keys]
    records = [record for record in known if record is not None]
    begin, new = time.perf_counter(), len(records) < len(couple)
    if new:
        tuned = inverter.tune(faces, [one.inversion for one in couple], on_step)
        seconds = (time.perf_counter() - begin) / len(couple)
        records = [Record(one, {}, seconds + before.record.seconds) for one, before in zip(tuned, couple, strict=True)]
    results, failed = [], []
    for one, key, record in zip(couple, keys, records, strict=True):
        missing = [name for name in task.metrics if name not in record.metrics]
        if missing:
            more = evaluate(one.face, record.inversion, inverter.generator, missing)
            record = dataclasses.replace(record, metrics={**record.metrics, **more})
            store.put(key, record)
        if record.inversion.finished:
            for face in faces:  # it is made of both: whoever forgets one photograph forgets it
                store.link(face.photo_sha256, INVERSIONS, key)
        asked = {name: record.metrics[name] for name in task.metrics}
        verdict = task.verdict(record)
        if reason := task.refusal(record):
            failed.append(Failed(one.face, f"{one.face.name}: {reason}"))
            continue
        tell(one.face.name, verdict)
        results.append(
            dataclasses.replace(
                one, record=dataclasses.replace(record, metrics=asked), key=key, from_store=not new, verdict=verdict
            )
        )
    return results, failed


def invert_couple(
    faces: Sequence[AlignedFace], seeds: Sequence[int], task: Task, runner: Runner, store: Store, on_step: OnStep
) -> tuple[list[Inverted], list[Failed]]:
    """As `invert_faces`, of the two parents of a family; then, where `refine.together` asks for it, `tuned_couple`."""
    refine = task.make_inverter().refine
    if refine is None or not refine.together:
        return invert_faces(faces, seeds, task, runner, store, on_step)
    found, failed = invert_faces(faces, seeds, dataclasses.replace(task, require=None), runner, store, on_step)
    if failed or len(found) < len(faces) or not all(one.inversion.finished for one in found):
        return found, failed
    return tuned_couple(found, task, store, on_step)


def invert_faces(
    faces: Sequence[AlignedFace], seeds: Sequence[int], task: Task, runner: Runner, store: Store, on_step: OnStep
) -> tuple[list[Inverted], list[Failed]]:
    """All faces, in order. Equal faces with equal seeds are inverted once. Finished results are stored as they come.

    After Ctrl-C the faces that were begun are among the results, those under way marked interrupted; the others are in
    neither list.
    """
    inverter = task.make_inverter()
    keys = [inverter.key(face, seed) for face, seed in zip(faces, seeds, strict=True)]
    # A trace can only be taken by going the way again.
    known = {} if task.trace_every else {key: record for key in dict.fromkeys(keys) if (record := store.get(key))}
    missing = {key: (face, seed) for key, face, seed in zip(keys, faces, seeds, strict=True) if key not in known}
    made: dict[str, tuple[Record, Trace | None]] = {}
    failures: dict[str, str] = {}
    order = list(missing)

    def keep(index: int, result: tuple[Record, Trace | None] | UserError) -> None:
        if isinstance(result, UserError):
            failures[order[index]] = str(result)
            log.error(str(result))
        else:
            made[order[index]] = result
            store.put(order[index], result[0], missing[order[index]][0].photo_sha256)

    if missing:
        runner.run(task, Listed(missing.values(), keep), on_step)
    for key, record in known.items():
        new = [name for name in task.metrics if name not in record.metrics]
        if new:  # stored before these metrics were asked for
            more = evaluate(faces[keys.index(key)], record.inversion, inverter.generator, new)
            known[key] = dataclasses.replace(record, metrics={**record.metrics, **more})
            store.put(key, known[key])
    results, failed = [], []
    for face, key in zip(faces, keys, strict=True):
        if key in failures:
            failed.append(Failed(face, failures[key]))
        elif key in made or key in known:
            record, trace = made[key] if key in made else (known[key], None)
            if record.inversion.finished:  # another photograph may have had the same crop
                store.link(face.photo_sha256, INVERSIONS, key)
            asked = {name: record.metrics[name] for name in task.metrics}
            verdict = task.verdict(record)
            if reason := task.refusal(record):
                failed.append(Failed(face, f"{face.name}: {reason}"))
                log.error("%s: %s", face.name, reason)
                continue
            results.append(
                Inverted(face, dataclasses.replace(record, metrics=asked), key, key in known, trace, verdict)
            )
            if key in known:
                log.info("%s: taken from the store (%s), no step done", face.name, key[:12])
            tell(face.name, verdict)
    return results, failed
