"""The folder of one run: who may write to it, and what it holds. Each file appears whole; the summary comes last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import UserError
from ..image import Mark, crop_bytes, save_synthetic
from ..interfaces import AlignedFace, Generator
from ..latents import to_json
from ..runtime import versions
from ..storage import expanded, json_object, read_file, write_atomically

JOB = ".hydra/job.json"
# One a script, written last: the mark of a finished run.
SUMMARIES = ("family.json", "metrics.json", "children.json", "atlas.json", "walk.json", "batch.json",
             "photos.json", "benchmark.json", "edit.json", "generations.json")  # fmt: skip


class Clock:
    """Seconds of each named part, added up: `with clock("align"): ...`"""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - begin, 3)


class RunFolder:
    """Writes files and remembers which, so that what is listed, and may one day be removed, is only what it wrote."""

    def __init__(self, root: Path, mark: Mark | None = None) -> None:
        self.root, self.mark = root, mark
        self.written: set[str] = set()

    def path(self, name: str) -> Path:
        """Where to put a file of this run."""
        self.written.add(name)
        return self.root / name

    def write(self, name: str, data: bytes) -> None:
        write_atomically(self.path(name), data)

    def crop(self, name: str, face: AlignedFace) -> None:
        """A crop of a real photograph. What a store has as a file is not encoded again."""
        write_atomically(self.path(name), face.png or crop_bytes(face.pixels))

    def synthetic(self, name: str, pixels: np.ndarray, facts: Mapping[str, Any]) -> Path:
        """A picture that a generator drew, marked, with its JSON beside it."""
        self.path(f"{name}.json")
        save_synthetic(self.path(name), pixels, dict(facts), self.mark)
        return self.root / name

    def finish(self, name: str, document: Mapping[str, Any]) -> None:
        """Write the summary, with the list of this run's files."""
        write_atomically(self.root / name, to_json({**document, "files": sorted(self.written)}))

    def keeps_finished(self, name: str) -> bool:
        """True if an earlier run of the same job was finished: what is cut short must not replace it."""
        earlier = _read(self.root / name)
        return bool(earlier) and not earlier.get("interrupted", False)


def open_folder(
    path: str | Path,
    job: Mapping[str, Any],
    files: Mapping[str, str],
    overwrite: bool,
    inputs: Iterable[str | Path] = (),
    mark: Mark | None = None,
) -> RunFolder:
    """The folder, ready to be written. `job` identifies what is done; `files` are small texts to put there first;
    `mark` signs its pictures.

    The same job goes on, and a folder in which an earlier job finished nothing is taken over. Any other is refused; with
    `overwrite`, what the earlier run listed as its own is removed, and nothing more. A folder that no run made, or that
    holds an input, is never overwritten.
    """
    folder = expanded(path)
    for item in inputs:
        if expanded(item).resolve().parent == folder.resolve():
            raise UserError(f"output_dir={path} holds the input {Path(item).name}. Choose another folder.")
    try:
        present = {item.name for item in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise UserError(f"output_dir={path}: {error.strerror}.") from error
    ours = (folder / JOB).is_file() or _begun(folder, present)
    unfinished = ours and all(name == ".hydra" or name.endswith(("_faces.png", ".part")) for name in present)
    job = job_today(job)
    if present and not unfinished and _read(folder / JOB).get("job") != job:
        if not ours:
            raise UserError(f"output_dir={path} holds something else, which no run made. Choose another folder.")
        if not overwrite:
            raise UserError(f"output_dir={path} {what_differs(_read(folder / JOB).get('job'), job)}")
    if ours and overwrite:
        _remove_earlier(folder)
    for left in [*folder.glob(".*.part"), *(folder / JOB).parent.glob(".*.part")] if ours else ():
        left.unlink(missing_ok=True)
    write_atomically(folder / JOB, to_json({"job": job}))
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return RunFolder(folder, mark)


def job_today(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job with today's versions, as its file will have it."""
    found: dict[str, Any] = json.loads(json.dumps({**job, "versions": versions()}))
    return found


def what_differs(known: Any, job: Mapping[str, Any]) -> str:
    """Why a folder of the job `known` is not this job's, and what to do: the end of a sentence."""
    known = known if isinstance(known, dict) else {}
    before, now = known.get("versions"), job["versions"]
    if isinstance(before, dict) and {**known, "versions": now} == job:
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        told = ", ".join(f"{name} {before.get(name)} -> {now.get(name)}" for name in names)
        return (
            f"is this job's, made with other versions ({told}), which may draw other bits. Choose another folder, "
            "install those versions, or make it anew by overwrite=true."
        )
    other = [name for name in {**known, **job} if known.get(name) != job.get(name)] if known else []
    told = f" What differs: {', '.join(other)}." if other else ""
    return f"holds another job. Choose another folder, or overwrite=true.{told}"


def _begun(folder: Path, present: set[str]) -> bool:
    """Whether a run was killed, or met a full disk, before it could say whose the folder is."""
    place = (folder / JOB).parent
    return present == {place.name} and place.is_dir() and all(item.name.endswith(".part") for item in place.iterdir())


def _remove_earlier(folder: Path) -> None:
    for name in SUMMARIES:
        summary = _read(folder / name)
        for listed in summary.get("files", []):
            if Path(listed).name == listed and (folder / listed).is_file():
                (folder / listed).unlink()
        if summary:
            (folder / name).unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        return json_object(read_file(path))
    except UserError:
        return {}


def provenance(generator: Generator) -> dict[str, Any]:
    """What made the pictures: for the summary and for the metadata of each PNG."""
    return {
        "software": f"gan_inversion {__version__}",
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "generator_licence": generator.licence,
    }


def footer_of(facts: Mapping[str, Any]) -> str:
    """What stands under every sheet and page; `facts` as `provenance` gives them, and whether it was "interrupted"."""
    footer = f"synthetic faces, drawn by {facts.get('generator', 'a generator')}; not a prediction of any real child"
    return footer + (" - INTERRUPTED" if facts.get("interrupted") else "")
