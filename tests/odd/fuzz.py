"""Good files of every kind that is read, damaged at random. Each is read, or refused by one sentence: nothing else.

python -m tests.odd.fuzz 300        so many mutations of each file; prints what was read and refused, and the worst
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from gan_inversion.batch.folder import read_json
from gan_inversion.batch.manifest import read_manifest
from gan_inversion.batch.manifest_cells import value_of
from gan_inversion.batch.tables import columns_of, read_rows
from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import save_checkpoint
from gan_inversion.checkpoints.projected import load_all_latents_for
from gan_inversion.editing.files import Directions, load_directions, save_directions
from gan_inversion.errors import UserError
from gan_inversion.generators.file import from_file
from gan_inversion.generators.tiny import tiny
from gan_inversion.image import FORMATS, load_photo
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from gan_inversion.storage import Folder
from tests.checkpoints import writers
from tests.odd.pictures import jpeg_of_scans, profile, tiff

SECONDS, MEGABYTES = 20.0, 1000.0  # of one file; of a process that reads all of a kind, beyond what it had
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 30_000, 2**63 - 1]


@dataclass
class Told:
    """What became of the mutations of one file."""

    kind: str
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    megabytes: float = 0.0
    wrong: list[str] = field(default_factory=list)  # tracebacks, in a line each


def files() -> dict[str, tuple[str, Callable[[Path], Any], bytes]]:
    """Kind -> its name on the disk, what reads it, and a good one."""
    generator, state = tiny(), writers.stylegan2_state()
    ws = torch.randn(generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(0))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    found: dict[str, tuple[str, Callable[[Path], Any], bytes]] = {}
    for kind in FORMATS:
        exif = Image.Exif()
        exif[274] = 6
        more = {} if kind in ("BMP", "GIF", "JPEG2000") else {"exif": exif, "icc_profile": profile("Adobe RGB")}
        found[kind] = ("a.jpg", load_photo, _bytes(lambda b, k=kind, m=more: Image.fromarray(pixels).save(b, k, **m)))
    for compression in ("tiff_lzw", "jpeg", "tiff_deflate"):
        data = _bytes(lambda b, c=compression: Image.fromarray(pixels).save(b, "TIFF", compression=c))
        found[f"TIFF {compression}"] = ("a.tif", load_photo, data)
    found["TIFF of two"] = ("a.dng", load_photo, tiff([(pixels[::4, ::4].copy(), {254: 1}), (pixels, {254: 0})], 1))
    found["progressive JPEG"] = ("a.jpg", load_photo, jpeg_of_scans(3))
    found["PNG of 16 bit"] = (
        "a.png",
        load_photo,
        _bytes(lambda b: Image.fromarray(pixels[..., 0] * 257.0).save(b, "TIFF")),
    )
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "x"
        save_checkpoint(at, Checkpoint("stylegan2", state, {"conv_clamp": 256, "architecture": "skip"}, {}))
        theirs = {"g_ema": writers.rosinality_state(state), "latent_avg": state["mapping.w_avg"]}
        for kind, data in {
            "ours": at.read_bytes(),
            "NVIDIA": writers.nvidia_pickle(writers.persistent(state)),
            "TensorFlow": writers.tf_pickle(writers.tf_variables(state), {"conv_clamp": 256}),
            "zip": writers.saved(theirs),
            "legacy": writers.saved(theirs, legacy=True),
        }.items():
            found[f"checkpoint, {kind}"] = ("a.pkl", lambda p: from_file(str(p)), data)
        save_latents(at, {"father": Latents(ws)}, generator.sha256)
        arrays = {".safetensors": at.read_bytes(), ".npz": _bytes(lambda b: np.savez_compressed(b, w=ws.numpy())),
                  ".npy": _bytes(lambda b: np.save(b, ws.numpy())), ".pt": writers.saved({"w": ws})}  # fmt: skip
        for ending, data in arrays.items():
            found[f"latents, {ending}"] = (f"a{ending}", lambda p: load_all_latents_for(p, generator), data)
        save_directions(at, Directions({"age": ws[0]}, {"age": 3.0}, "p"), generator, {})
        found["directions"] = ("a.safetensors", lambda p: load_directions(str(p), generator), at.read_bytes())
    rows = [{"id": f"c{i}", "father": "a.jpg", "mother": "b.jpg", "seed": i, "child.ages": [2, 8]} for i in range(6)]
    texts = "".join(f'{r["id"]},a.jpg,b.jpg,{r["seed"]},"[2, 8]"\n' for r in rows)
    found["manifest, .csv"] = ("m.csv", _manifest, f"id,father,mother,seed,child.ages\n{texts}".encode())
    found["manifest, .jsonl"] = ("m.jsonl", _manifest, "\n".join(map(json.dumps, rows)).encode())
    found["manifest, .parquet"] = (
        "m.parquet",
        _manifest,
        _bytes(lambda b: pq.write_table(pa.Table.from_pylist(rows), b)),
    )
    state_file = json.dumps(
        {"files": {"a.png": [3, "f" * 64]}, "thumbs": {}, "rows": [{"id": "a"}], "couple": {"id": "a"}}
    )
    found["state"] = ("done.json", lambda p: read_json(Folder(str(p.parent)), p.name), state_file.encode())
    cell = b"[2, {a: 1}, [x, 'y'], &b 1.5e+3, *b, null, 2001-01-01, !!int 3]"
    found["cell"] = ("cell", lambda p: value_of(p.read_bytes().decode("utf-8", "replace").strip() or "x"), cell)
    return found


def _bytes(write: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _manifest(path: Path) -> Any:
    data = path.read_bytes()
    columns_of(path.name, data)
    list(read_rows(path.name, data))
    return read_manifest(str(path), lambda settings: None)


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """One to four of: bits flipped, cut short, numbers replaced, parts removed, repeated or overwritten."""
    for _ in range(draw.integers(1, 5)):
        at = int(draw.integers(0, max(1, len(data)) if draw.random() < 0.5 else max(1, min(len(data), 512))))
        size = int(draw.integers(1, 64))
        match draw.integers(0, 6):
            case 0:
                data = (
                    data[:at] + bytes([data[at] ^ (1 << int(draw.integers(0, 8)))]) + data[at + 1 :] if data else data
                )
            case 1:
                data = data[: max(at, 1)] if draw.random() < 0.3 else data
            case 2:
                width, order = int(draw.choice([1, 2, 4, 8])), str(draw.choice(["little", "big"]))
                number = NUMBERS[int(draw.integers(0, len(NUMBERS)))] % (1 << 8 * width)
                data = data[:at] + number.to_bytes(width, order) + data[at + width :]  # type: ignore[arg-type]
            case 3:
                data = data[:at] + data[at + size :]
            case 4:
                data = data[:at] + data[at : at + size] * int(draw.integers(2, 20)) + data[at + size :]
            case _:
                data = data[:at] + draw.bytes(size) + data[at + size :]
    return data


def fuzz(kind: str, count: int, until: float = float("inf")) -> Told:
    """`count` mutations of a file of this kind, or as many as there is time for (`until`, of time.monotonic)."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    name, read, good = files()[kind]
    told, draw = Told(kind), np.random.default_rng(sum(kind.encode()))
    with tempfile.TemporaryDirectory() as folder:
        for other in ("a.jpg", "b.jpg"):
            (Path(folder) / other).touch()
        path = Path(folder) / name
        path.write_bytes(good)
        read(path)  # good, before it is damaged
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            if time.monotonic() > until:
                break
            path.write_bytes(mutated(good, draw))
            begin = time.process_time()
            try:
                read(path)
                told.read += 1
            except UserError as error:
                told.refused += 1
                if path.name not in str(error):
                    told.wrong.append(f"{number}: no name in {error}"[:200])
            except Exception as error:
                told.wrong.append(f"{number}: {type(error).__name__}: {error}"[:200])
            told.slowest = max(told.slowest, time.process_time() - begin)
        told.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return told


def main(count: int) -> None:
    wrong = total = 0
    print("| file | mutations | read | refused | other | slowest, s | memory, MB |\n|---|---|---|---|---|---|---|")
    for kind in files():
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process of its own: its memory is this kind's
            told = pool.apply(fuzz, (kind, count))
        cells = [told.read, told.refused, len(told.wrong), f"{told.slowest:.2f}", f"{told.megabytes:.0f}"]
        print(
            f"| {kind} | {told.read + told.refused + len(told.wrong)} | " + " | ".join(map(str, cells)) + " |",
            flush=True,
        )
        for line in told.wrong[:3]:
            print(f"    {line}", file=sys.stderr)
        total += told.read + told.refused + len(told.wrong)
        wrong += len(told.wrong) + (told.slowest > SECONDS) + (told.megabytes > MEGABYTES)
    print(f"{total} files, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
