"""Files that want to do harm, what reading each of them does, in seconds and megabytes.

    python -m tests.checkpoints.hostile

prints the table of docs/generators.md. Each file is read by a process of its own, forked when everything is imported, so
that its peak memory is that of the reading.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_inversion.checkpoints.foreign import read_checkpoint
from gan_inversion.interfaces import UserError

STOP = b"."
HUGE = 10**12
Maker = Callable[[Path], bytes]  # the canary's path -> the file


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def call(module: str, name: str, *arguments: Any) -> bytes:
    """Opcodes of `module.name(*arguments)`, whether or not there is such a thing here."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + inner(arguments) + b"R"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def inner(value: Any) -> bytes:
    """A pickle without its begin and end."""
    return pickle.dumps(value, 3)[2:-1]


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def saved(tree: Any, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(tree, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def torch_zip(data_pkl: bytes, **members: bytes) -> bytes:
    return zipped({"archive/data.pkl": data_pkl, "archive/byteorder": b"little", **members})


def tensor(size: Any, stride: Any, offset: int = 0, count: int = 4) -> bytes:
    """A torch zip of one tensor that claims this shape of a storage of `count` numbers."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + inner(count) + b"tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + inner(offset) + inner(size) + inner(stride)
    rebuilt += b"\x89}tR"
    body = b"\x80\x02}" + text("conv1.conv.modulation.weight") + rebuilt + b"s" + STOP
    return torch_zip(body, **{"archive/data/0": bytes(16)})


def persistent(canary: Path) -> bytes:
    """NVIDIA's way of saving a class with its source: here the source is harmful."""
    meta = {"type": "class", "version": 6, "class_name": "Generator", "state": {"_parameters": {}, "_buffers": {}}}
    meta["module_src"] = f"open({str(canary)!r}, 'w')"
    network = call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)[2:]
    return b"\x80\x04}" + text("G_ema") + network + b"s" + STOP


def nested(canary: Path) -> bytes:
    """`torch.storage._load_from_bytes` would unpickle its argument without any care."""
    evil = pickle.dumps(Calls(os.system, f"touch {canary}"))
    return b"\x80\x04}" + text("g_ema") + call("torch.storage", "_load_from_bytes", evil)[2:] + b"s" + STOP


def endless(canary: Path) -> bytes:
    """A module that is its own part."""
    module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}q\x00" + text("state") + b"}q\x01stRq\x02"
    itself = b"h\x01" + text("_modules") + b"}" + text("a") + b"h\x02ss0"
    return b"\x80\x04}" + text("G") + module + itself + b"s" + STOP


def ladder(canary: Path) -> bytes:
    """getattr(os.system, "__call__")(...)"""
    found = b"\x80\x04cbuiltins\ngetattr\n(cos\nsystem\n" + text("__call__") + b"tR"
    return found + inner((touch(canary),)) + b"R" + STOP


def from_memo(canary: Path) -> bytes:
    """The parts of the name come from the memo."""
    names = b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x94"
    return names + b"h\x00h\x01\x93" + inner((touch(canary),)) + b"R" + STOP


def memmap(canary: Path) -> bytes:
    return b"\x80\x04}" + text("G") + call("numpy", "memmap", str(canary), "f4", "w+", 0, (HUGE,))[2:] + b"s" + STOP


def good() -> bytes:
    return saved({"g_ema": {"conv1.conv.modulation.weight": torch.randn(64, 64)}, "latent_avg": torch.zeros(64)})


def flipped(seed: int) -> Maker:
    def make(canary: Path) -> bytes:
        draw, data = random.Random(seed), bytearray(good())
        for _ in range(20):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(data)

    return make


def touch(canary: Path) -> str:
    return f"touch {canary}"


def opened(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w')"


FILES: dict[str, Maker] = {
    "os.system": lambda c: call("os", "system", touch(c)) + STOP,
    "posix.system": lambda c: call("posix", "system", touch(c)) + STOP,
    "subprocess.Popen": lambda c: call("subprocess", "Popen", ["touch", str(c)]) + STOP,
    "subprocess.check_output": lambda c: call("subprocess", "check_output", ["touch", str(c)]) + STOP,
    "builtins.eval": lambda c: call("builtins", "eval", opened(c)) + STOP,
    "builtins.exec": lambda c: call("builtins", "exec", opened(c)) + STOP,
    "builtins.open": lambda c: call("builtins", "open", str(c), "w") + STOP,
    "__import__": lambda c: call("builtins", "__import__", "antigravity") + STOP,
    "importlib": lambda c: call("importlib", "import_module", "this") + STOP,
    "webbrowser.open": lambda c: call("webbrowser", "open", "http://127.0.0.1/") + STOP,
    "runpy": lambda c: call("runpy", "run_path", str(c)) + STOP,
    "__reduce__ within __reduce__": lambda c: pickle.dumps({"G": [Calls(list, (Calls(os.system, touch(c)),))]}),
    "getattr ladder": ladder,
    "operator.attrgetter": lambda c: call("operator", "attrgetter", "system") + b"(cos\n__dict__\ntR" + STOP,
    "functools.partial": lambda c: b"\x80\x04cfunctools\npartial\n(cos\nsystem\n" + text(touch(c)) + b"tR)R.",
    "dotted name (STACK_GLOBAL)": lambda c: call("collections", "OrderedDict.fromkeys.__self__", [1]) + STOP,
    "name from the memo": from_memo,
    "GLOBAL, protocol 0": lambda c: b"cos\nsystem\n(S'" + touch(c).encode() + b"'\ntR.",
    "INST": lambda c: b"(S'" + touch(c).encode() + b"'\nios\nsystem\n.",
    "OBJ": lambda c: b"(cos\nsystem\nS'" + touch(c).encode() + b"'\no.",
    "NEWOBJ": lambda c: b"\x80\x02csubprocess\nPopen\n" + inner(([f"touch {c}"],)) + b"\x81.",
    "EXT1 (copyreg)": lambda c: b"\x80\x02\x82\x01)R.",
    "BUILD on a global": lambda c: b"\x80\x02cos\nenviron\n}" + text("PATH") + text("x") + b"sb.",
    "BUILD on a number": lambda c: b"\x80\x02K\x01}" + text("a") + text("x") + b"sb.",
    "APPEND to a global": lambda c: b"\x80\x02csys\npath\n" + text("/evil") + b"a.",
    "SETITEM on a global": lambda c: b"\x80\x02cos\nenviron\n" + text("PATH") + text("/evil") + b"s.",
    "persistent id": lambda c: b"\x80\x02" + text("os.system") + b"Q.",
    "_load_from_bytes with a pickle": nested,
    "pickle.loads": lambda c: call("pickle", "loads", pickle.dumps(Calls(os.system, touch(c)))) + STOP,
    "torch.load": lambda c: call("torch.serialization", "load", str(c)) + STOP,
    "torch.hub.load": lambda c: call("torch.hub", "load", "a/b", "c") + STOP,
    "torch._utils, another": lambda c: call("torch._utils", "_rebuild_device_tensor_from_numpy", 1, 2, 3, 4) + STOP,
    "a tensor beyond its storage": lambda c: tensor((100,), (1,)),
    "a tensor with a negative stride": lambda c: tensor((2,), (-1,), 3),
    "a tensor of 10^12 numbers, stride 0": lambda c: tensor((HUGE,), (0,)),
    "a storage of 10^12 numbers": lambda c: tensor((2,), (1,), 0, HUGE),
    "a tensor of 10^6 dimensions": lambda c: tensor(tuple([1] * 10**5), tuple([1] * 10**5)),
    "types.CodeType": lambda c: call("types", "CodeType", 0, 0, 0, 0, 0, 0, b"", (), (), (), "", "", 0, b"") + STOP,
    "dill._create_function": lambda c: call("dill._dill", "_create_function", 1, {}) + STOP,
    "cloudpickle._make_function": lambda c: call("cloudpickle.cloudpickle", "_make_function", 1, {}) + STOP,
    "persistence with malicious source": persistent,
    "numpy objects": lambda c: pickle.dumps({"G": np.array([Calls(os.system, touch(c))], dtype=object)}),
    "numpy.memmap of 10^12": memmap,
    "numpy.load": lambda c: call("numpy", "load", str(c), None, True) + STOP,
    "numpy.fromfile": lambda c: call("numpy", "fromfile", "/etc/passwd") + STOP,
    "a number of 10^6 digits": lambda c: b"L" + b"9" * 10**6 + b"L\n.",
    "bytes of 2^60": lambda c: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.",
    "a frame of 2^60": lambda c: b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
    "memo entry 2^31": lambda c: b"\x80\x04}r" + struct.pack("<I", 2**31 - 1) + b".",
    "doubling lists": lambda c: b"\x80\x04]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(60)) + STOP,
    "two million sets": lambda c: b"\x80\x04(" + b"\x8f" * 2_000_000 + b"t.",
    "ten million lists": lambda c: b"\x80\x04(" + b"]" * 10_000_000 + b"t.",
    "nested 10^5 deep": lambda c: b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + STOP,
    "modules that hold themselves": endless,
    "an endless line": lambda c: b"c" + b"a" * 3_000_000,
    "truncated at the start": lambda c: good()[:30],
    "truncated in the middle": lambda c: good()[: len(good()) // 2],
    "truncated by a byte": lambda c: good()[:-1],
    "older torch file, cut": lambda c: saved({"g_ema": {"conv1.conv.modulation.weight": torch.zeros(999)}}, new=False)[:-9],
    **{f"bits flipped, {seed}": flipped(seed) for seed in range(8)},
    "zip: path traversal": lambda c: zipped({"archive/data.pkl": b"}.", "archive/../../evil": b"x"}),
    "zip: absolute path": lambda c: zipped({"archive/data.pkl": b"}.", "/tmp_evil/x": b"x"}),
    "zip: bomb": lambda c: zipped({"archive/data.pkl": b"}.", "archive/data/0": bytes(2 * 10**8)}, zipfile.ZIP_DEFLATED),
    "zip: os.system in data.pkl": lambda c: torch_zip(call("os", "system", touch(c)) + STOP),
    "zip: TorchScript": lambda c: torch_zip(b"\x80\x02}.", **{"archive/code/m.py": b"x", "archive/constants.pkl": b")."}),
    "zip: not torch's": lambda c: zipped({"readme.txt": b"hello"}),
    "safetensors: a header of 2^40": lambda c: struct.pack("<Q", 2**40) + b"{" + bytes(100),
    "safetensors: offsets beyond the end": lambda c: (lambda h: struct.pack("<Q", len(h)) + h)(
        json.dumps({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}).encode()
    ),
    "a web page": lambda c: b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>",
    "a Git LFS pointer": lambda c: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "empty": lambda c: b"",
    "noise": lambda c: random.Random(0).randbytes(100_000),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    name: str
    size: int
    said: str  # the error, "" if none
    kind: str  # of the error
    seconds: float
    megabytes: float  # peak beyond what the process had before
    canary: bool


def megabytes(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))


def attempt(name: str, folder: Path) -> Outcome:
    """Read one file in a process of its own."""
    canary, path = folder / "canary", folder / "file.pkl"
    path.write_bytes(FILES[name](canary))
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        before, begin, said, kind = megabytes("VmRSS"), time.perf_counter(), "", ""
        try:
            read_checkpoint(path)
        except UserError as error:
            said, kind = str(error), "UserError"
        except BaseException as error:
            said, kind = str(error), type(error).__name__
        seconds, peak = time.perf_counter() - begin, megabytes("VmHWM")
        outcome = Outcome(name, path.stat().st_size, said, kind, seconds, peak - before, canary.exists())
        os.write(there, json.dumps(asdict(outcome)).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return Outcome(**json.loads(told)) if told else Outcome(name, 0, "it killed the process", "death", 0, 0, False)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        outcomes = [attempt(name, Path(temporary)) for name in FILES]
    if "--json" in sys.argv:
        print("\n".join(json.dumps(asdict(outcome)) for outcome in outcomes))
        return
    alike: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        said = outcome.said.partition("file.pkl: ")[2].partition(" What can be read")[0]
        said = re.sub(r"it calls [\w.]+,", "it calls NAME,", said)
        alike.setdefault(re.sub(r"damaged \(.*\)|'[^']+'", "damaged (...)", said), []).append(outcome)
    print("| files | what they raise | at most |\n|---|---|---|")
    for said, group in sorted(alike.items(), key=lambda pair: -len(pair[1])):
        seconds, size = max(one.seconds for one in group), max(one.megabytes for one in group)
        print(f"| {', '.join(one.name for one in group)} | {said} | {seconds:.1f} s, {size:.0f} MB |")


if __name__ == "__main__":
    main()
