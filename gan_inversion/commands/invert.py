"""Photographs -> latents, whether optimised or only encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..components import build, build_aligner, build_task
from ..report import album
from ..report.family import save_timings
from ..report.progress import InversionBar
from ..report.run_folder import Clock, open_folder
from ..store.inversions import invert_faces
from ..store.keys import job_of


def invert_photos(values: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Load, align, invert, report. `values`: the config of `invert` or `encode`; `files`: texts for the run folder.

    Raises UserError, after all the others are done and saved, if a photograph failed.
    """
    clock, task = Clock(), build_task(values)
    runner, store = build(values["runner"], "runner"), build(values["store"], "store")
    inverter = clock("load", task.make_inverter)
    aligner = build_aligner(values["aligner"], inverter.generator.resolution, inverter.generator.domain)

    paths = album.find_photos(values["photos"])
    job = job_of(dict(values)) | {"photos": clock("load", album.hashes_of, paths)}
    folder = open_folder(values["output_dir"], job, files, values["overwrite"], paths.values())
    faces, failures = clock("align", album.load_and_align, paths, aligner, values["face"], folder)
    with InversionBar(len(faces), inverter.optimiser.steps) as bar:
        seeds = [values["seed"]] * len(faces)
        found, failed = clock("invert", invert_faces, faces, seeds, task, runner, store, bar)
    rows = clock("report", album.save_all, folder, list(paths), found, failed, failures, inverter)
    save_timings(folder, clock.seconds)
    album.say_goodbye(folder, rows)
