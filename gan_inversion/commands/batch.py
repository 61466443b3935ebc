"""A list of couples in, a folder for each and a report out. Each face is inverted once; a failure is one couple's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from ..batch.couples import Couple
from ..batch.manifest import read_manifest
from ..batch.report import open_batch, write_report
from ..batch.schedule import Couples
from ..batch.state import Counts, unfinished
from ..batch.work import Batch as Work
from ..blending.offspring import Conception
from ..components import changed, construct
from ..errors import UserError
from ..interfaces import Aligner, Generator
from ..latents import hash_of
from ..report.progress import BatchBar
from ..runtime import versions
from ..storage import Folder
from ..store.keys import files_of, job_of
from .common import Conceiving, Inverting, Invocation, fitting
from .family import Family


@dataclass(frozen=True, kw_only=True)
class Batch(Inverting, Conceiving):
    of_couples = True

    manifest: str
    retry_failed: bool
    verify: bool

    def run(self, call: Invocation) -> None:
        """Validate all, then do what earlier runs did not.

        Raises UserError, after all the others are done and reported, if a couple failed; StorageError if a disk stopped it.
        """
        if self.store.path is None:
            raise UserError(
                "store.path=null: a batch needs its store, or a father of fifty would be inverted fifty times."
            )
        task = self.task()
        inverter = task.make_inverter()
        check = partial(self._check, inverter.generator, set[Any]())
        check({})
        manifest = read_manifest(self.manifest, check, (self.output_dir, self.store.path))
        output, job = Folder(self.output_dir), job_of(call.command, self)
        open_batch(output, job, call.texts, self.overwrite)

        counts = Counts(len(manifest.couples))
        machine = [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
        identity = hash_of(json.dumps([job, versions(), inverter.generator.sha256, machine], sort_keys=True).encode())
        interrupted: list[bool] = []
        verify = lambda: self.verify and not interrupted  # noqa: E731 (after Ctrl-C nobody waits for checksums)
        todo = unfinished(manifest, output, identity, counts, self.retry_failed, verify)
        work = Work(task, self.fitting_aligner, self.conceive, self.store, output, self.seed)
        with BatchBar(counts.total) as bar:
            show = lambda: bar.show(counts.done + counts.failed, counts.inverted, counts.found, counts.failed)  # noqa: E731
            couples = Couples(todo, manifest, output, counts, show)
            try:
                self.runner.run(work, couples, bar.step)
            except KeyboardInterrupt:
                interrupted.append(True)
            interrupted += [True] * bool(counts.total - counts.done - counts.failed)
            for _ in todo if couples.stopped_by is None else ():  # after Ctrl-C: what earlier runs did is counted
                pass
            show()
        if couples.stopped_by is not None:
            raise type(couples.stopped_by)(
                f"{couples.stopped_by} {counts.done} of {counts.total} couples are done and kept; then the same command "
                "goes on."
            )
        counts = write_report(manifest, output, counts, task, job)
        say_goodbye(output, counts, bool(interrupted))

    def family(self, settings: Mapping[str, Any], seed: int) -> Family:
        """What `family` would be told of a couple whose row says `settings`: "child.age" is the key `age` of `child`.

        Raises UserError naming the key that cannot be so.
        """
        own: dict[str, Any] = {"father": "", "mother": "", "father_face": None, "mother_face": None}
        own |= {"drawn_parent": "like", "siblings_only": None, "twins": (), "trace": 0}
        shared = {f.name: getattr(self, f.name) for f in fields(Family) if f.name not in own}
        groups: dict[str, dict[str, Any]] = {}
        for key, value in settings.items():
            group, dot, name = key.partition(".")
            if dot:
                groups.setdefault(group, {})[name] = value
            elif key in shared:
                shared[key] = value
        shared |= {group: changed(shared[group], values, group) for group, values in groups.items()}
        family: Family = construct(Family, {**shared, **own, "seed": seed}, "", {})
        return family

    def conceive(self, couple: Couple) -> tuple[Conception, dict[str, Any]]:
        """What makes a couple's children, and the job it is: that of `family` with the same settings."""
        family = self.family(dict(couple.settings), seed_of(self.seed, couple))
        return family.conception(self.inverter().load().generator), job_of("family", family)

    def fitting_aligner(self) -> Aligner:
        return fitting(self.aligner, self.inverter().load().generator)

    def _check(self, generator: Generator, seen: set[Any], settings: Mapping[str, Any]) -> None:
        """Raises UserError for settings that no couple can have.

        A kind of settings, by the keys that are set and the files they name, is built whole once; the numbers of the
        others are checked group by group, each once: a hundred thousand rows take seconds.
        """
        own = {key: value for key, value in settings.items() if "." in key or key == "diversity"}
        named = {key: value if files_of([(key, value)]) else value in (None, 0) for key, value in own.items()}
        kind = tuple(sorted(named.items()))
        if kind not in seen:
            self.family(own, self.seed).conception(generator)
            seen.add(kind)
            return
        for group in ("blend", "inherit", "child"):
            part = {key.partition(".")[2]: value for key, value in own.items() if key.startswith(f"{group}.")}
            known = group, tuple(part.items())
            if part and known not in seen:
                built = changed(getattr(self, group), part, group)
                if group == "blend":
                    built.check(generator.num_ws)
                seen.add(known)


def say_goodbye(output: Folder, counts: Counts, interrupted: bool) -> None:
    """How many of each and where to look. Raises UserError or KeyboardInterrupt unless all succeeded."""
    rest = counts.total - counts.done - counts.failed
    print(
        f"{counts.done} of {counts.total} couples done, {counts.failed} failed, {rest} not done "
        f"({counts.before} by earlier runs); {counts.inverted} faces inverted, {counts.found} found in the store"
    )
    print(f"report: {output.url}/report.html   table: {output.url}/results.csv")
    if interrupted or rest:
        raise KeyboardInterrupt("the same command goes on")
    if counts.failed:
        raise UserError(
            f"{counts.failed} of {counts.total} couples failed: the reasons are in {output.url}/report.html and in "
            "results.csv. retry_failed=true tries them again."
        )


def seed_of(seed: int, couple: Couple) -> int:
    """Of a couple's children: what its row says, else its own by the run's seed and its id, whatever its place."""
    said = dict(couple.settings).get("seed")
    return int(hash_of(f"{seed} {couple.id}".encode())[:7], 16) if said is None else int(said)
