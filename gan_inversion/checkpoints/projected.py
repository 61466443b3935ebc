"""Latents of other projects, in and out: projected_w.npz of StyleGAN2-ADA and StyleGAN3, .pt and .npy of pSp, e4e and PTI.

Such files do not say whose latents they are: they are taken for those of the generator that is named.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator, Inversion
from ..latents import load_all_latents, load_latents, problem_with, split_entry
from ..storage import expanded
from .arrays import read_arrays

FOREIGN = (".npz", ".npy", ".pt", ".pth", ".pkl")
MISSING = 2  # rows that a MobileStyleGAN has less than the StyleGAN2 of the same size


def load_latents_for(path: str | Path, name: str, generator: Generator) -> Inversion:
    """`latents.load_latents`, of other projects' files too: the latents called `name` or "ws", or the only ones."""
    if not is_foreign(path):
        return load_latents(path, name)
    everything = import_latents(path, generator)
    return next(iter(everything.values())) if len(everything) == 1 else _chosen(path, name, everything)


def load_all_latents_for(path: str | Path, generator: Generator) -> dict[str, Inversion]:
    """`latents.load_all_latents`, of other projects' files too."""
    return import_latents(path, generator) if is_foreign(path) else load_all_latents(path)


def latents_at_for(entry: str, generator: Generator) -> Inversion:
    """FILE:NAME, or FILE where it holds the latents of one face: `latents.latents_at`, of other projects' files too."""
    file, name = split_entry(entry)
    if name is None:
        return load_latents_for(file, "ws", generator)
    return _chosen(file, name, load_all_latents_for(file, generator))


def is_foreign(path: str | Path) -> bool:
    return str(path).lower().endswith(FOREIGN)


def import_latents(path: str | Path, generator: Generator) -> dict[str, Inversion]:
    """Latents by name; of an array of several faces 0, 1, ... w [D] and [1, D] become equal rows.

    Of 18 rows the two are left out that a MobileStyleGAN lacks. Raises UserError: not latents, or of another shape.
    """
    found: dict[str, Inversion] = {}
    for name, tensor in read_arrays(expanded(path)).items():
        for number, ws in enumerate(_faces(tensor, generator)):
            label = ".".join(
                part for part in (name, str(number) if len(tensor) > 1 and tensor.ndim == 3 else "") if part
            )
            if problem := problem_with(ws, 2):
                raise UserError(f"{path}: {label or 'ws'} {problem}.")
            found[label or "ws"] = Inversion(ws, generator.sha256)
    if not found:
        raise UserError(
            f"{path}: no latents of {generator.name} in it, which has {generator.num_ws} rows of {generator.w_dim} numbers."
        )
    return found


def _faces(tensor: Tensor, generator: Generator) -> list[Tensor]:
    """[L, D] each; none where it is something else, such as noise maps and losses."""
    rows, width = generator.num_ws, generator.w_dim
    if tensor.shape in ((width,), (1, width)):
        return [tensor.reshape(1, width).repeat(rows, 1)]
    if tensor.ndim not in (2, 3) or tensor.shape[-1] != width or tensor.shape[-2] not in (1, rows, rows + MISSING):
        return []
    faces = list(tensor.reshape(-1, *tensor.shape[-2:]))
    if tensor.shape[-2] == 1:
        return [one.repeat(rows, 1) for one in faces]
    return [torch.cat([one[: rows - 1], one[-1:]]) for one in faces]


def _chosen(path: str | Path, name: str, everything: Mapping[str, Inversion]) -> Inversion:
    if name not in everything:
        raise UserError(f"{path}: no latents called {name}; it has {', '.join([*everything][:20])}.")
    return everything[name]


def full_rows(ws: Tensor, rows: int) -> tuple[Tensor, str]:
    """ws [L, D] -> [1, rows, D], and how rows that it lacks were filled: by the last but one, before the last.

    Raises UserError if they are other than `MISSING`.
    """
    lacking = rows - len(ws)
    if lacking not in (0, MISSING):
        raise UserError(f"rows={rows}: these latents have {len(ws)}.")
    if not lacking:
        return ws[None], ""
    filled = torch.cat([ws[:-1], ws[-2:-1].repeat(lacking, 1), ws[-1:]])
    return filled[
        None
    ], f"rows {len(ws) - 1} and {len(ws)} are copies of row {len(ws) - 2}, as its generator has {len(ws)}"


def npz_of(ws: Tensor, remark: str) -> bytes:
    """ws [1, L, D] -> what `projector.py` of StyleGAN2-ADA and StyleGAN3 writes: `w`; and the remark, if there is one."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"w": ws.numpy()} | ({"remark": np.array(remark)} if remark else {})
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pt_of(ws: Tensor) -> bytes:
    """ws [1, L, D] -> what pSp, e4e and PTI read as latents."""
    buffer = io.BytesIO()
    torch.save(ws, buffer)
    return buffer.getvalue()
