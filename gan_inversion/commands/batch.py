"""A list of couples, or of photographs to be edited, in; a folder for each and a report out. Each face is inverted once; a
failure is one item's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import torch

from ..batch.couples import Item
from ..batch.edits import EditedPhoto, draw_edits
from ..batch.families import Family as DrawnFamily
from ..batch.families import draw_family
from ..batch.folder import Made
from ..batch.kinds import COUPLES, PHOTOGRAPHS
from ..batch.manifest import Check, open_manifest, read_manifest
from ..batch.report import open_batch, write_report
from ..batch.schedule import Items
from ..batch.state import Counts, unfinished
from ..batch.work import Batch as Work
from ..batch.work import Read, read_photo
from ..components import changed, construct
from ..editing.files import load_directions
from ..errors import UserError, suggestion
from ..interfaces import Aligner, Generator
from ..latents import hash_of
from ..report.progress import BatchBar
from ..runtime import versions
from ..storage import Folder
from ..store.inversions import Inverted
from ..store.keys import files_of, job_of
from .common import Conceiving, Inverting, Invocation, fitting
from .edit import EditFace
from .family import Family


@dataclass(frozen=True, kw_only=True)
class Batch(Inverting, Conceiving):
    of_couples = True

    manifest: str
    retry_failed: bool
    verify: bool
    edit: dict[str, Any] = field(default_factory=dict)

    def run(self, call: Invocation) -> None:
        """Validate all, then do what earlier runs did not.

        Raises UserError, after all the others are done and reported, if an item failed; StorageError if a disk stopped it.
        """
        if self.store.path is None:
            raise UserError(
                "store.path=null: a batch needs its store, or a father of fifty would be inverted fifty times."
            )
        task = self.task()
        inverter = task.make_inverter()
        source = open_manifest(self.manifest)
        check: Check
        draw: Callable[[Read, Sequence[Inverted]], Made]
        if source.kind is COUPLES:
            check, draw = partial(self._check, inverter.generator, set[Any]()), partial(self.draw_couple, task.judge)
            check({})
            job = job_of(call.command, self)
            del job["edit"]  # which says nothing of couples
        else:
            edit = self.edit_by_default(call)
            check, draw = partial(self._check_edit, edit, set[Any]()), partial(self.draw_photo, task.judge, edit)
            directions = load_directions(edit.directions, inverter.generator)
            job = job_of(call.command, edit) | {"of": source.kind.name, "directions": directions.sha256}
        manifest = read_manifest(source, check, (self.output_dir, self.store.path))
        output = Folder(self.output_dir)
        open_batch(output, job, call.texts, self.overwrite)

        counts = Counts(len(manifest.items))
        machine = [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
        identity = hash_of(json.dumps([job, versions(), inverter.generator.sha256, machine], sort_keys=True).encode())
        interrupted: list[bool] = []
        verify = lambda: self.verify and not interrupted  # noqa: E731 (after Ctrl-C nobody waits for checksums)
        todo = unfinished(manifest, output, identity, counts, self.retry_failed, verify)
        work = Work(task, self.fitting_aligner, draw, self.store, output, self.seed)
        with BatchBar(counts.total, source.kind.name) as bar:
            show = lambda: bar.show(counts.done + counts.failed, counts.inverted, counts.found, counts.failed)  # noqa: E731
            items = Items(todo, manifest, output, counts, show)
            try:
                self.runner.run(work, items, bar.step)
            except KeyboardInterrupt:
                interrupted.append(True)
            interrupted += [True] * bool(counts.total - counts.done - counts.failed)
            for _ in todo if items.stopped_by is None else ():  # after Ctrl-C: what earlier runs did is counted
                pass
            show()
        if items.stopped_by is not None:
            raise type(items.stopped_by)(
                f"{items.stopped_by} {counts.done} of {counts.total} {source.kind.name} are done and kept; then the same "
                "command goes on."
            )
        counts = write_report(manifest, output, counts, task, job)
        say_goodbye(output, counts, source.kind.name, bool(interrupted))

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

    def draw_couple(self, judge: str | None, one: Read, inverted: Sequence[Inverted]) -> DrawnFamily:
        """What `family` makes with the same settings. judge: of the run, whatever this machine has."""
        inverter, item = self.inverter().load(), one.item.item
        family = self.family(dict(item.settings), seed_of(self.seed, item))
        with one.clock("blend"):
            conception = family.conception(inverter.generator)
        job = job_of("family", family) | {"judge": judge}
        return draw_family(item.id, one.photos, inverted, conception, job, inverter, one.clock)

    def draw_photo(self, judge: str | None, edit: EditFace, one: Read, inverted: Sequence[Inverted]) -> EditedPhoto:
        """What `edit` makes with the same settings."""
        edit = self.edited(edit, dict(one.item.item.settings))
        whole = partial(read_photo, one.item.faces[0].item, whole=True)
        job = job_of("edit", edit) | {"photo_sha256": one.photos["photo"].sha256, "judge": judge}
        return draw_edits(inverted[0], whole, edit, job, self.inverter().load(), one.clock)

    def edit_by_default(self, call: Invocation) -> EditFace:
        """What is made of a photograph whose row says nothing. Raises UserError for keys that are not of `edit`."""
        shared = {one.name: getattr(self, one.name) for one in fields(Inverting)}
        own = {
            name: value
            for name, value in call.compose("edit", ()).items()
            if name in PHOTOGRAPHS.keys or name == "steps"
        }
        for name in self.edit:
            if name not in own:
                raise UserError(f"unknown key edit.{name}.{suggestion(name, own)}")
        edit: EditFace = construct(EditFace, {**shared, **own, **self.edit, "photo": "", "latents": None}, "", {})
        edit.inverter()
        return edit

    def edited(self, edit: EditFace, settings: Mapping[str, Any]) -> EditFace:
        """With what a row says. Raises UserError naming the key that cannot be so."""
        steps = {key.removeprefix("steps."): value for key, value in settings.items() if key.startswith("steps.")}
        plain = {key: value for key, value in settings.items() if "." not in key}
        return changed(edit, {**plain, "steps": {**edit.steps, **steps}}, "")

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

    def _check_edit(self, edit: EditFace, seen: set[Any], settings: Mapping[str, Any]) -> None:
        """Raises UserError for settings that no photograph can have. Directions are looked at once for equal names."""
        edit = self.edited(edit, settings)
        edit.check()
        for one in edit.edits():
            named = edit.directions, *sorted((*one.labels, *one.steps))
            if named not in seen:
                one.load(self.inverter().load().generator)
                seen.add(named)


def say_goodbye(output: Folder, counts: Counts, kind: str, interrupted: bool) -> None:
    """How many of each and where to look. Raises UserError or KeyboardInterrupt unless all succeeded."""
    rest = counts.total - counts.done - counts.failed
    print(
        f"{counts.done} of {counts.total} {kind} done, {counts.failed} failed, {rest} not done "
        f"({counts.before} by earlier runs); {counts.inverted} faces inverted, {counts.found} found in the store"
    )
    print(f"report: {output.url}/report.html   table: {output.url}/results.csv")
    if interrupted or rest:
        raise KeyboardInterrupt("the same command goes on")
    if counts.failed:
        raise UserError(
            f"{counts.failed} of {counts.total} {kind} failed: the reasons are in {output.url}/report.html and in "
            "results.csv. retry_failed=true tries them again."
        )


def seed_of(seed: int, couple: Item) -> int:
    """Of a couple's children: what its row says, else its own by the run's seed and its id, whatever its place."""
    said = dict(couple.settings).get("seed")
    return int(hash_of(f"{seed} {couple.id}".encode())[:7], 16) if said is None else int(said)
