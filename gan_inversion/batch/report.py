"""The folder of a batch: who may write to it, its tables, its page. All that is told is read from the items' markers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from ..errors import UserError
from ..image import SYNTHETIC
from ..latents import to_json
from ..report.batch_page import page
from ..report.run_folder import JOB, job_today, open_folder, provenance, what_differs
from ..runtime import versions
from ..storage import Folder
from ..store.inversions import Task
from .couples import Manifest
from .folder import TIMINGS, facts_of_marker, read_json, row_without_picture
from .state import CHUNK, Counts
from .tables import csv_of, parquet_of

SUMMARY = "batch.json"


def open_batch(output: Folder, job: Mapping[str, Any], files: Mapping[str, str], overwrite: bool) -> None:
    """Make sure that `output` is ours: new, or that of the same job; another job's only with `overwrite`."""
    if output.local is not None:
        open_folder(output.local, job, files, overwrite)
        return
    job = job_today(job)
    known = read_json(output, JOB)
    if known and known.get("job") != job and not overwrite:
        raise UserError(f"output_dir={output.url} {what_differs(known.get('job'), job)}")
    if not known and output.names():
        raise UserError(f"output_dir={output.url} holds something else, which no run made. Choose another folder.")
    for name, text in {JOB: json.dumps({"job": job}, indent=2, sort_keys=True) + "\n", **files}.items():
        output.write(name, text.encode())


def write_report(manifest: Manifest, output: Folder, counts: Counts, task: Task, settings: Mapping[str, Any]) -> Counts:
    """Write the tables and the page, and last batch.json; returns the counts as the markers have them."""
    rows, timings = list[dict[str, Any]](), list[dict[str, Any]]()
    states = {"done": 0, "failed": 0, "not done": 0}
    rest, kind = enumerate(manifest.items), manifest.items[0].KIND
    while chunk := list(islice(rest, CHUNK)):
        markers = facts_of_marker(output, [item for _, item in chunk])
        clocks = (output / kind).read_many(f"{item.id}/{TIMINGS}" for _, item in chunk)
        for place, item in chunk:
            known = markers.get(item.id) if counts.settled[place] else None  # others are of another job, or damaged
            marker = known or {"status": "not done"}
            states[marker["status"]] += 1
            if marker["status"] == "done":
                rows += marker["rows"]
                timings.append({"id": item.id, **seconds_of(clocks.get(f"{item.id}/{TIMINGS}", b""))})
            else:
                rows.append(row_without_picture(item, marker["status"], marker.get("error")))
    inverter = task.make_inverter()
    generator = inverter.generator
    facts = {**SYNTHETIC, **provenance(generator), "versions": versions(), kind: states}
    statuses = {name: "optimised" if name in inverter.pursued else "held out" for name in task.metrics}
    files = {
        "results.csv": csv_of(rows),
        "results.parquet": parquet_of(rows),
        "timings.csv": csv_of(timings),
        "timings.parquet": parquet_of(timings),
        "report.html": page(rows, statuses, settings, facts, f"{len(manifest.items)} {kind}", kind).encode(),
    }
    for name, data in files.items():
        output.write(name, data)
    output.write(SUMMARY, to_json({**facts, "settings": dict(settings), "files": sorted(files)}))
    return replace(counts, done=states["done"], failed=states["failed"])


def seconds_of(data: bytes) -> dict[str, float]:
    """Of an item's timings.json; nothing if it is not there."""
    try:
        return {f"{part}_seconds": value for part, value in json.loads(data)["seconds"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
