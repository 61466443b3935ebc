"""The content-addressed store: an inversion is done once. The key holds all that can change the result, and no path."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..interfaces import Inversion
from ..latents import hash_of, to_json
from ..storage import write_atomically

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
            return Record(Inversion(ws=ws, **record), metrics, self._seconds(json_path))
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
        del fields["ws"], fields["style_offset"]  # an inversion has none
        write_atomically(data_path, data)
        write_atomically(json_path.with_suffix(".timings.json"), to_json({"seconds": record.seconds}))
        write_atomically(json_path, to_json({**fields, "metrics": dict(record.metrics), "sha256": hash_of(data)}))

    def _seconds(self, json_path: Path) -> float:
        try:
            return float(json.loads(json_path.with_suffix(".timings.json").read_bytes())["seconds"])
        except (OSError, ValueError, KeyError):
            return 0.0

    def _paths(self, key: str) -> tuple[Path, Path]:
        base = Path(self.path or "") / key[:2] / key
        return base.with_name(base.name + ".safetensors"), base.with_name(base.name + ".json")
