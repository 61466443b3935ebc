"""What of a command's keys says which job it is: what is done, not where or by whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ..latents import describe

ELSEWHERE = ("output_dir", "overwrite", "private", "runner", "store", "photos", "photo", "latents", "father", "mother",
             "of_child", "parent", "tree", "manifest", "retry_failed", "verify", "data", "mark", "tensorboard")  # fmt: skip
FILES = (
    "child.directions",
    "directions",
    "inherit.path",
    "inherit.people",
)  # settings of a row that name a file, or an entry of the catalogue


def job_of(command: str, keys: Any) -> dict[str, Any]:
    """The part of a command's keys that says what is done, not where or by whom: same job, same results.

    Components by name and settings, files that they name by content. Inputs are left out, because paths name no content:
    commands add their hashes.
    """
    fields = {field.name: getattr(keys, field.name) for field in dataclasses.fields(keys)}
    judging = keys.judging() if hasattr(keys, "judging") else {}
    told = {name: _told(value) for name, value in fields.items() if name not in ELSEWHERE}
    return {"command": command} | told | judging


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(one) for key, one in value.items()}
    return describe(value) if dataclasses.is_dataclass(value) else value


def files_of(settings: Iterable[tuple[str, Any]]) -> list[str]:
    """Paths that a row's settings name."""
    return [str(value) for key, value in settings if key in FILES and value is not None]
