"""A foreign checkpoint as our own safetensors, and what it is in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..assets.catalogue import checkpoint_file, public_checkpoint
from ..checkpoints.checkpoint import Checkpoint, printable
from ..checkpoints.foreign import read_checkpoint, save_checkpoint
from ..errors import UserError
from ..generators.family import StyleGAN
from ..generators.file import build_checkpoint

LICENCE = "not in the file: ask its authors. NVIDIA's own networks are for non-commercial use"


def convert(source: str, target: str | None, overwrite: bool) -> None:
    """Read, build, describe, and with `target` write. Raises UserError if it is no generator, or the file exists."""
    output = Path(target).expanduser() if target else None
    if output and output.suffix != ".safetensors":
        raise UserError(f"output={target}: the name must end in .safetensors.")
    if output and output.exists() and not overwrite:
        raise UserError(f"output={target} exists. Choose another name, or overwrite=true.")
    entry = public_checkpoint(source)
    checkpoint = read_checkpoint(checkpoint_file(source))
    if entry:
        checkpoint = replace(checkpoint, facts={**checkpoint.facts, "licence": entry.licence})
    label = 0 if any(name.startswith("mapping.embed.") for name in checkpoint.state) else None
    generator = build_checkpoint(checkpoint, class_label=label)
    for name, value in summary(checkpoint, generator).items():
        print(f"{name:32} {value}")
    if output:
        save_checkpoint(output, checkpoint)
        print(f"{'written':32} {output}: generator=file generator.path={output}")


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
