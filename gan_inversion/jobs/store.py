"""The content-addressed store: an inversion is done once. The key holds all that can change the result, and no path."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from ..image import write_atomically
from ..interfaces import Inversion, UserError
from ..inversion.inverter import hash_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """An inversion and what was measured of it."""

    inversion: Inversion
    metrics: Mapping[str, float]
    seconds: float = 0.0


@dataclass(frozen=True)
class Store:
    """A folder: `ab/abcd....safetensors` (ws), `.json` (settings, losses, metrics; written last) and `.timings.json`.

    Safe for several processes: files appear whole, and all writers of a key write the same result. `path` None: no store.
    """

    path: str | None = "store"

    def get(self, key: str) -> Record | None:
        """None when absent. A damaged entry is set aside (`.damaged`) with a warning, and will be made again."""
        if self.path is None:
            return None
        data_path, json_path = self._paths(key)
        try:
            record = json.loads(json_path.read_bytes())
            data = data_path.read_bytes()
            if hash_of(data) != record.pop("sha256"):
                raise ValueError("its checksum differs")
            ws, metrics = load(data)["ws"], record.pop("metrics")
            return Record(Inversion(ws=ws, **record), metrics)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, SafetensorError, OSError) as error:
            log.warning("store entry %s is damaged (%s): set aside, made again", key[:12], error)
            for path in (data_path, json_path):
                if path.exists():
                    path.replace(path.with_name(path.name + ".damaged"))
            return None

    def put(self, key: str, record: Record) -> None:
        """Keep a finished inversion. An interrupted one is refused: it is not the result its key promises."""
        if self.path is None or not record.inversion.finished:
            return
        data_path, json_path = self._paths(key)
        data = save({"ws": record.inversion.ws.contiguous()})
        fields = asdict(replace(record.inversion, ws=torch.empty(0)))
        del fields["ws"]
        write_atomically(data_path, data)
        write_atomically(json_path.with_suffix(".timings.json"), to_json({"seconds": record.seconds}))
        write_atomically(json_path, to_json({**fields, "metrics": dict(record.metrics), "sha256": hash_of(data)}))

    def _paths(self, key: str) -> tuple[Path, Path]:
        base = Path(self.path or "") / key[:2] / key
        return base.with_name(base.name + ".safetensors"), base.with_name(base.name + ".json")


def to_json(value: Any) -> bytes:
    """Readable, and the same bytes for the same value."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def save_latents(path: Path, latents: Mapping[str, torch.Tensor], generator_sha256: str) -> None:
    """Named ws [L, D] and the generator they belong to, in one safetensors file."""
    tensors = {name: ws.contiguous() for name, ws in latents.items()}
    write_atomically(path, save(tensors, {"generator_sha256": generator_sha256}))


def load_latents(path: str | Path, name: str) -> Inversion:
    """The ws called `name` (or "ws") of a file that `save_latents` wrote. Raises UserError naming the file."""
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            sha256 = (file.metadata() or {}).get("generator_sha256", "")
            found = next((n for n in (name, "ws") if n in names), None)
            if found is None:
                raise UserError(f"{path}: no latents called {name}; it has {', '.join(names)}.")
            return Inversion(file.get_tensor(found), sha256)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a file of stored latents ({error}).") from error
