"""What of a config says which job it is: what is done, not where or by whom."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..assets.catalogue import path_of, public_checkpoint
from ..storage import expanded, remembered_sha256

FILES = (("child", "directions"), ("inherit", "path"))  # settings that name a file, or an entry of the catalogue


def job_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that says what is done, not where or by whom: same job, same results.

    Inputs are left out, because paths name no content: scripts add their hashes.
    """
    elsewhere = ("output_dir", "overwrite", "runner", "store", "father", "mother", "of_child", "parent", "manifest",
                 "retry_failed", "verify")  # fmt: skip
    job = {key: value for key, value in values.items() if key not in elsewhere}
    for group, key in FILES:  # scripts add the files' hashes
        if group in job:
            job[group] = {name: value for name, value in job[group].items() if name != key}
    if path := (job.get("start") or {}).get("path"):  # latents, or an encoder
        job["start"] = {**job["start"], "path": content_of(path)}
    if path := job.get("generator", {}).get("path"):
        rest = {name: value for name, value in job["generator"].items() if name != "path"}
        job["generator"] = {**rest, "file_sha256": _hash_of_checkpoint(path)}
    return job


def files_of(settings: Iterable[tuple[str, Any]]) -> list[str]:
    """Paths that a row's settings name."""
    return [str(value) for key, value in settings if tuple(key.split(".", 1)) in FILES and value is not None]


def content_of(path: str) -> str:
    """Of a file, hashed once as long as it stays the same; of what is none, such as an entry of the catalogue, its name."""
    return remembered_sha256(path) if os.path.isfile(expanded(path)) else path  # noqa: PTH113 (pathlib raises for some)


def _hash_of_checkpoint(path: str) -> str:
    """Of the file that `generator.path` names."""
    entry = public_checkpoint(path)
    return remembered_sha256(path_of(entry) if entry else path)
