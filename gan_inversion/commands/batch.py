"""A manifest of couples -> a folder for each, a table, a report."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch

from ..batch.couples import Couple
from ..batch.manifest import read_manifest
from ..batch.report import open_batch, write_report
from ..batch.schedule import Couples
from ..batch.state import Counts, unfinished
from ..batch.work import Batch
from ..blending.offspring import Conception
from ..components import build, build_aligner, build_conception, build_task
from ..errors import UserError
from ..interfaces import Aligner, Generator
from ..inversion.inverter import Inverter
from ..latents import hash_of
from ..report.progress import BatchBar
from ..runtime import versions
from ..storage import Folder
from ..store.keys import files_of, job_of

log = logging.getLogger(__name__)


def run_batch(values: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Validate all, then do what earlier runs did not. `values`: the config of `batch`; `files`: texts for the folder.

    Raises UserError, after all the others are done and reported, if a couple failed; StorageError if a disk stopped it.
    """
    family = {**values, "trace": 0, "father_face": None, "mother_face": None, "siblings_only": None}
    task, runner, store = build_task(family), build(values["runner"], "runner"), build(values["store"], "store")
    if store.path is None:
        raise UserError("store.path=null: a batch needs its store, or a father of fifty would be inverted fifty times.")
    inverter = task.make_inverter()
    text = json.dumps(family, sort_keys=True)
    check = partial(_check, family, inverter.generator, set[Any]())
    check({})
    manifest = read_manifest(values["manifest"], check, (values["output_dir"], store.path))
    output = Folder(values["output_dir"])
    job = {"script": "batch", **job_of(dict(values)), **build_conception(family, inverter.generator).files}
    open_batch(output, job, files, values["overwrite"])

    counts = Counts(len(manifest.couples))
    machine = [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    identity = hash_of(json.dumps([job, versions(), inverter.generator.sha256, machine], sort_keys=True).encode())
    interrupted: list[bool] = []
    verify = lambda: values["verify"] and not interrupted  # noqa: E731 (after Ctrl-C nobody waits for checksums)
    todo = unfinished(manifest, output, identity, counts, values["retry_failed"], verify)
    generator = inverter.generator
    aligner = json.dumps(values["aligner"], sort_keys=True)
    make_aligner = partial(_aligner, aligner, generator.resolution, generator.domain)
    batch = Batch(task, make_aligner, partial(_conceive, text, task.make_inverter), store, output, values["seed"])
    with BatchBar(counts.total) as bar:
        show = lambda: bar.show(counts.done + counts.failed, counts.inverted, counts.found, counts.failed)  # noqa: E731
        work = Couples(todo, manifest, output, counts, show)
        try:
            runner.run(batch, work, bar.step)
        except KeyboardInterrupt:
            interrupted.append(True)
        interrupted += [True] * bool(counts.total - counts.done - counts.failed)
        for _ in todo if work.stopped_by is None else ():  # after Ctrl-C: what earlier runs did is counted to the end
            pass
        show()
    if work.stopped_by is not None:
        raise type(work.stopped_by)(
            f"{work.stopped_by} {counts.done} of {counts.total} couples are done and kept; then the same command goes on."
        )
    counts = write_report(manifest, output, counts, inverter, job)
    say_goodbye(output, counts, bool(interrupted))


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


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The config with a row's settings in it: "child.age" is the key `age` of the node `child`."""
    changed = dict(values)
    for key, value in settings.items():
        group, dot, name = key.partition(".")
        changed[group] = {**changed[group], name: value} if dot else value
    return changed


def _check(values: Mapping[str, Any], generator: Generator, seen: set[Any], settings: Mapping[str, Any]) -> None:
    """Raises UserError for settings that no couple can have.

    A kind of settings, by the keys that are set and the files they name, is built whole once; the numbers of the others
    are checked group by group, each once: a hundred thousand rows take seconds.
    """
    own = {key: value for key, value in settings.items() if "." in key or key == "diversity"}
    kind = tuple(sorted((key, value if files_of([(key, value)]) else value in (None, 0)) for key, value in own.items()))
    if kind not in seen:
        build_conception(with_settings(values, own), generator)
        seen.add(kind)
        return
    for group in ("blend", "inherit", "child"):
        part = tuple((key, value) for key, value in own.items() if key.startswith(f"{group}."))
        if part and part not in seen:
            built = build(with_settings(values, dict(part))[group], group)
            if group == "blend":
                built.check(generator.num_ws)
            seen.add(part)


@lru_cache(maxsize=2)
def _aligner(text: str, resolution: int, domain: str) -> Aligner:
    return build_aligner(json.loads(text), resolution, domain)


def _conceive(text: str, make_inverter: Callable[[], Inverter], couple: Couple) -> tuple[Conception, dict[str, Any]]:
    """What makes a couple's children, and the job it is: that of `family.py` with the same settings."""
    values = json.loads(text)
    config = with_settings(values, {**dict(couple.settings), "seed": seed_of(values["seed"], couple)})
    return build_conception(config, make_inverter().generator), job_of(config)
