"""The folder of one run: who may write to it, and what it holds. Each file appears whole; family.json comes last."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from .. import __version__
from ..image import write_atomically
from ..interfaces import Generator, UserError

T = TypeVar("T")
JOB = ".hydra/job.json"


class Clock:
    """Seconds of each named part, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        begin = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - begin, 3)


def open_folder(path: str | Path, job: Mapping[str, Any], files: Mapping[str, str], overwrite: bool) -> Path:
    """The folder, ready to be written. `job` identifies what is done; `files` are small texts to put there first.

    A folder that holds another job, or anything else, is refused unless `overwrite`; then what the earlier run listed as
    its own is removed, and nothing more. The same job goes on where it was.
    """
    folder = Path(path)
    try:
        exists = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise UserError(f"output_dir={path}: {error.strerror}.") from error
    marker = folder / JOB
    earlier = _read(marker)
    if exists and not overwrite and earlier.get("job") != json.loads(json.dumps(job)):
        raise UserError(f"output_dir={path} holds something else. Choose another folder, or overwrite=true.")
    if exists and overwrite:
        for summary in folder.glob("*.json"):
            for name in _read(summary).get("files", []):
                (folder / Path(name).name).unlink(missing_ok=True)
            if "files" in _read(summary):
                summary.unlink()
    write_atomically(marker, (json.dumps({"job": job}, indent=2, sort_keys=True) + "\n").encode())
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return folder


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def provenance(generator: Generator) -> dict[str, Any]:
    """What made the pictures: for family.json and for the metadata of each PNG."""
    return {
        "software": f"gan_inversion {__version__}",
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "generator_licence": generator.licence,
    }


def versions() -> dict[str, str]:
    import cv2
    import numpy

    return {
        "gan_inversion": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "machine": platform.machine(),
    }
