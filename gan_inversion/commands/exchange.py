"""Latents from and for other projects' tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.projected import full_rows, import_latents, npz_of, pt_of
from ..errors import UserError
from ..interfaces import GeneratorSource
from ..latents import latents_at, save_latents
from ..storage import expanded, write_atomically
from .common import Invocation, at_least


@dataclass(frozen=True, kw_only=True)
class ImportLatents:
    input: str
    output: str
    generator: GeneratorSource
    overwrite: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError: no latents of this generator, or the output exists."""
        output = _free(self.output, (".safetensors",), self.overwrite)
        generator = self.generator.load("cpu")
        found = import_latents(self.input, generator)
        save_latents(output, {name: one.latents for name, one in found.items()}, generator.sha256)
        print(f"{output}: {', '.join([*found][:20])}, taken for latents of {generator.name}")


@dataclass(frozen=True, kw_only=True)
class ExportLatents:
    latents: str
    output: str
    rows: int = at_least(1)
    overwrite: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError: no such latents, other rows than can be filled, or the output exists."""
        output = _free(self.output, (".npz", ".pt"), self.overwrite)
        found = latents_at(self.latents)
        ws, remark = full_rows(found.ws, self.rows)
        left_out = (
            [] if found.style_offset is None and found.features is None else ["what refinements added is left out"]
        )
        write_atomically(output, npz_of(ws, remark) if output.suffix == ".npz" else pt_of(ws))
        print("; ".join([f"{output}: {list(ws.shape)}", *([remark] if remark else []), *left_out]))


def _free(name: str, endings: tuple[str, ...], overwrite: bool) -> Path:
    output = expanded(name)
    if output.suffix not in endings:
        raise UserError(f"output={name}: the name must end in {' or '.join(endings)}.")
    if output.exists() and not overwrite:
        raise UserError(f"output={name} exists. Choose another name, or overwrite=true.")
    return output
