"""The content-addressed store: a photograph is aligned once and a face inverted once. Keys hold all that can change a
result, and no path.

    faces/ab/KEY.png, .json                        crop; where it was cut, remarks
    inversions/ab/KEY.safetensors, .json           ws; settings, losses, metrics
    inversions/ab/KEY.timings.json                 seconds, which differ from run to run
    photos/SHA256/face-KEY, inversion-KEY          empty: what was made of the photograph with this hash

The JSON is written last and holds a checksum of the whole entry: an entry without it is not there.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import PIL
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .. import __version__
from ..errors import StorageError
from ..image import Photo, crop_bytes, open_picture
from ..interfaces import AlignedFace, Aligner, Inversion
from ..latents import describe, hash_of, noise_from, noise_tensors, problem_with, to_json
from ..storage import Folder

log = logging.getLogger(__name__)

FACES, INVERSIONS, PHOTOS = "faces", "inversions", "photos"
DATA = {FACES: ".png", INVERSIONS: ".safetensors"}  # what lies beside the JSON
MARKER, DAMAGED = ".json", ".damaged"
OTHERS = ("features", "style_offset", "tuning")  # tensors that an inversion may have beside ws and noise
STATES = ("whole", "damaged", "incomplete", "unreadable")
PATIENCE = (1.0, 4.0)  # seconds before a storage that is far away is asked again


@dataclass(frozen=True)
class Record:
    """An inversion and what was measured of it."""

    inversion: Inversion
    metrics: Mapping[str, float]
    seconds: float = 0.0


def face_key(photo: Photo, aligner: Aligner, face: int | None) -> str:
    """Identity of a crop before it is cut: the photograph's bytes, how it is aligned, and what decodes and aligns it."""
    versions = [__version__, cv2.__version__, PIL.__version__, torch.backends.cpu.get_cpu_capability()]
    return hash_of(json.dumps([photo.sha256, describe(aligner), face, versions], sort_keys=True).encode())


@dataclass(frozen=True)
class Store:
    """Safe for several processes: files appear whole, and all writers of a key write the same result.

    path: a folder or a URL that fsspec knows; None: no store.
    """

    name: ClassVar[str] = "folder"

    path: str | None = "store"

    def get(self, key: str) -> Record | None:
        """The inversion called `key`. None when absent or damaged: a damaged entry is set aside with a warning."""
        entry = self._read(INVERSIONS, key)
        if entry is None:
            return None
        try:
            fields = dict(entry.fields)
            tensors, metrics = load(entry.data), fields.pop("metrics")
            if problem := problem_with(tensors["ws"], 2):
                raise ValueError(f"ws {problem}")
            others: dict[str, Any] = {name: tensors.get(name) for name in OTHERS}
            inversion = Inversion(ws=tensors["ws"], noise=noise_from(tensors, "noise."), **others, **fields)
            return Record(inversion, metrics, self._seconds(key))
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            self._set_aside(INVERSIONS, key, entry.files, error)
            return None

    def put(self, key: str, record: Record, photo_sha256: str = "") -> None:
        """Keep a finished inversion. An interrupted one is refused: it is not the result its key promises."""
        if self.path is None or not record.inversion.finished:
            return
        names = [one.name for one in dataclasses.fields(Inversion) if one.name not in ("ws", "noise", *OTHERS)]
        fields = {name: getattr(record.inversion, name) for name in names}
        self.link(photo_sha256, INVERSIONS, key)
        self._folder.write(f"{name_of(INVERSIONS, key)}.timings.json", to_json({"seconds": record.seconds}))
        tensors = {"ws": record.inversion.ws.contiguous(), **noise_tensors(record.inversion.noise, "noise.")}
        others = {name: getattr(record.inversion, name) for name in OTHERS}
        tensors |= {name: tensor.contiguous() for name, tensor in others.items() if tensor is not None}
        data = save(tensors)
        self._write(INVERSIONS, key, data, {**fields, "metrics": dict(record.metrics)})

    def get_face(self, key: str, name: str, photo: Photo) -> AlignedFace | None:
        """The crop called `key`, under the names of today. None when absent or damaged."""
        entry = self._read(FACES, key)
        if entry is None:
            return None
        try:
            pixels = np.array(open_picture(entry.data, ("PNG",)).convert("RGB"))
            quad = tuple((float(x), float(y)) for x, y in entry.fields["quad"])
            remarks = tuple(photo.name + remark for remark in entry.fields["remarks"])
            return AlignedFace(pixels, name, photo.sha256, quad, remarks, entry.data)
        except (ValueError, KeyError, TypeError, OSError) as error:
            self._set_aside(FACES, key, entry.files, error)
            return None

    def put_face(self, key: str, face: AlignedFace, photo: Photo) -> None:
        """Keep a crop. Its remarks are kept without the photograph's name, which may be another one next time."""
        if self.path is None:
            return
        remarks = [remark.removeprefix(photo.name) for remark in face.warnings]
        self.link(face.photo_sha256, FACES, key)
        self._write(FACES, key, crop_bytes(face.pixels), {"quad": face.quad, "remarks": remarks})

    def link(self, photo_sha256: str, kind: str, key: str) -> None:
        """Note that `key` was made of this photograph, so that it can be forgotten. Before the entry itself is there."""
        name = f"{PHOTOS}/{photo_sha256}/{kind}-{key}"
        if self.path is not None and photo_sha256 and self._folder.size(name) is None:
            self._folder.write(name, b"")

    def check(self, kind: str, key: str) -> str:
        """Whether an entry is what was written: one of `STATES`. Nothing is set aside."""
        try:
            _parsed(kind, self._files(kind, key))
        except FileNotFoundError:
            return "incomplete"
        except ValueError:
            return "damaged"
        except StorageError:
            return "unreadable"
        return "whole"

    @property
    def _folder(self) -> Folder:
        return Folder(self.path or "")

    def _write(self, kind: str, key: str, data: bytes, fields: dict[str, Any]) -> None:
        base = name_of(kind, key)
        self._folder.write(base + DATA[kind], data)
        self._folder.write(base + MARKER, to_json({**fields, "sha256": _checksum(data, fields)}))

    def _read(self, kind: str, key: str) -> _Entry | None:
        if self.path is None:
            return None
        for pause in (*PATIENCE, None):
            try:
                files = self._files(kind, key)
                break
            except FileNotFoundError:
                return None
            except StorageError as error:
                if self._folder.local is not None:
                    log.warning("store entry %s cannot be read (%s): made again", key[:12], error)
                    return None
                if pause is None:
                    raise
                time.sleep(pause)
        try:
            return _parsed(kind, files)
        except ValueError as error:
            self._set_aside(kind, key, files, error)
            return None

    def _files(self, kind: str, key: str) -> dict[str, bytes]:
        """An entry's files by suffix. Raises FileNotFoundError if it is not there, or not whole yet."""
        return {suffix: self._folder.read(name_of(kind, key) + suffix) for suffix in (MARKER, DATA[kind])}

    def _set_aside(self, kind: str, key: str, seen: dict[str, bytes], error: Exception) -> None:
        """What was `seen` is copied for whoever wants to know what happened to it. Nothing is removed, which another
        process may have just made again: making it again replaces it."""
        log.warning("store entry %s is damaged (%s): set aside, made again", key[:12], error)
        for suffix, data in seen.items():
            self._folder.write(name_of(kind, key) + suffix + DAMAGED, data)

    def _seconds(self, key: str) -> float:
        try:
            return float(json.loads(self._folder.read(f"{name_of(INVERSIONS, key)}.timings.json"))["seconds"])
        except (OSError, StorageError, ValueError, KeyError, TypeError):
            return 0.0


@dataclass(frozen=True)
class _Entry:
    """What was read of an entry."""

    data: bytes
    fields: dict[str, Any]
    files: dict[str, bytes]


def _parsed(kind: str, files: dict[str, bytes]) -> _Entry:
    """Raises ValueError if the files are not what was written."""
    data, fields = files[DATA[kind]], json.loads(files[MARKER])
    if not isinstance(fields, dict) or fields.pop("sha256", None) != _checksum(data, fields):
        raise ValueError("its checksum differs")
    return _Entry(data, fields, files)


def name_of(kind: str, key: str) -> str:
    """Of an entry's files, without their suffix."""
    return f"{kind}/{key[:2]}/{key}"


def _checksum(data: bytes, fields: Mapping[str, Any]) -> str:
    """Of an entry: a flipped bit in its numbers counts as much as one in its data."""
    return hash_of(data + to_json(json.loads(json.dumps(fields))))
