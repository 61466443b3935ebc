"""Weights: what is fetched, once; foreign checkpoints as our own safetensors; latents and generators from and for other
programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..assets.catalogue import checkpoint_file, fetched_dir, path_of, public_checkpoint, read_catalogue
from ..assets.fetch import fetch, is_present
from ..checkpoints.checkpoint import Checkpoint, printable
from ..checkpoints.foreign import read_checkpoint, save_checkpoint
from ..checkpoints.projected import full_rows, import_latents, npz_of, pt_of
from ..errors import UserError
from ..generators.family import StyleGAN
from ..generators.file import build_checkpoint
from ..generators.onnx_graph import OPSET, graphs_of
from ..interfaces import GeneratorSource, Latents
from ..latents import latents_at, render, save_latents
from ..storage import expanded, write_atomically
from .common import Invocation, at_least

LICENCE = "not in the file: ask its authors. NVIDIA's own networks are for non-commercial use"


@dataclass(frozen=True, kw_only=True)
class Fetch:
    only: tuple[str, ...]
    list: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError for unknown names and failed downloads."""
        if self.list:
            for entry in read_catalogue().values():
                state = "present" if is_present(entry) else "missing"
                origin = entry.carrier or entry.page or "part of this project"
                print(f"{entry.name:22} {state:8} {origin}" + (" (optional)" if entry.optional else ""))
                print(f"{'':22} {entry.source}\n{'':22} licence: {entry.licence}")
                structure = ", ".join(f"{key} {value}" for key, value in entry.expects.items())
                where = f"file:    {path_of(entry)} ({structure})" if entry.page else f"sha256:  {entry.sha256}"
                print(f"{'':22} {where}")
            return
        new = fetch(self.only, print)
        print(f"weights ready in {fetched_dir()}" + ("" if new else " (nothing to do)"))


@dataclass(frozen=True, kw_only=True)
class Convert:
    input: str
    output: str | None
    overwrite: bool

    def run(self, call: Invocation) -> None:
        """Read, build, describe, and with `output` write. Raises UserError if it is no generator, or the file exists."""
        output = _free(self.output, (".safetensors",), self.overwrite) if self.output else None
        entry = public_checkpoint(self.input)
        file = checkpoint_file(self.input)
        checkpoint = read_checkpoint(file)
        if entry:
            checkpoint = replace(checkpoint, facts={**checkpoint.facts, "licence": entry.licence})
        label = 0 if any(name.startswith("mapping.embed.") for name in checkpoint.state) else None
        generator = _drawing(checkpoint, label, str(file))
        for name, value in summary(checkpoint, generator).items():
            print(f"{name:32} {value}")
        if output:
            save_checkpoint(output, checkpoint)
            if _drawing(read_checkpoint(output), label, str(output)).sha256 != generator.sha256:
                raise UserError(f"{output}: it is not the generator that was written. Is the disk in order?")
            print(f"{'written':32} {output}: generator=file generator.path={output}")


def _drawing(checkpoint: Checkpoint, label: int | None, file: str) -> StyleGAN:
    """The generator, which has drawn a picture. Raises UserError, which names the file."""
    try:
        generator = build_checkpoint(checkpoint, class_label=label)
        render(generator, Latents(generator.w_avg.repeat(generator.num_ws, 1)))
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return generator


def summary(checkpoint: Checkpoint, generator: StyleGAN) -> dict[str, Any]:
    """What a person wants to know of a generator before using it."""
    parameters = sum(tensor.numel() for tensor in generator.parameters())
    told = {f"the file says: {printable(key)}": printable(str(value)) for key, value in checkpoint.facts.items()}
    network = generator.network
    return {
        **told,  # first and under a name of its own: a file may say anything
        "family": generator.name,
        "resolution": f"{generator.resolution} pixels",
        "num_ws x w_dim": f"{generator.num_ws} x {generator.w_dim}",
        "z_dim": generator.z_dim,
        "classes": generator.c_dim or "none",
        **({"architecture": network.architecture} if hasattr(network, "architecture") else {}),
        "pictures seen in training": checkpoint.facts.get("images_seen", "not in the file"),
        "parameters": f"{parameters:,}",
        "w_avg": f"mean {generator.w_avg.mean():+.4f}, spread {generator.w_avg.std():.4f}",
        "options": ", ".join(f"{key}={value}" for key, value in sorted(generator.options.items())),
        "generator sha256": generator.sha256,
        "licence": generator.licence if "licence" in checkpoint.facts else LICENCE,
    }


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


@dataclass(frozen=True, kw_only=True)
class ExportOnnx:
    generator: GeneratorSource
    output: str
    overwrite: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError: packages missing, a generator that cannot be exported, or files that exist."""
        folder = expanded(self.output)
        files = {
            name: _free(str(folder / f"{name}.onnx"), (".onnx",), self.overwrite) for name in ("mapping", "synthesis")
        }
        generator = self.generator.load("cpu")
        graphs, differences = graphs_of(generator)
        for name, data in graphs.items():
            write_atomically(files[name], data)
            print(f"{files[name]}: {len(data) / 1e6:.1f} MB, opset {OPSET}, within {differences[name]:.1e} of torch")
        print(f"of {generator.name}, licence: {generator.licence}. Mark what they draw as made by a machine.")


def _free(name: str, endings: tuple[str, ...], overwrite: bool) -> Path:
    output = expanded(name)
    if output.suffix not in endings:
        raise UserError(f"output={name}: the name must end in {' or '.join(endings)}.")
    if output.exists() and not overwrite:
        raise UserError(f"output={name} exists. Choose another name, or overwrite=true.")
    return output
