"""Files that try to run something, to take all memory or all time, or that are just wrong; and what reading them costs.

`python -m tests.checkpoints.hostile` prints a table of them: the file, its size, what was raised, seconds and memory.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.file import from_file
from tests.checkpoints import writers
from tests.checkpoints.byte_code import (
    CANARY,
    OPEN,
    TOUCH,
    archive,
    array,
    binary,
    call,
    dtype,
    name,
    number,
    numbers,
    one_tensor,
    stack_name,
    storage,
    tensor,
    text,
    whole,
)
from tests.checkpoints.hostile_parts import (
    arguments_doubled,
    changed_state,
    colliding_integers,
    components_doubled,
    converted,
    cut,
    deep_json,
    disc_filtered,
    doubled,
    encrypted,
    equal_long_keys,
    legacy_of_long_keys,
    legacy_of_more_numbers,
    long_global_names,
    long_member_names,
    many_members,
    many_names,
    modules_doubled,
    nested,
    one_large_part_many_times,
    overlapping_members,
    overlapping_tensors,
    pairs_copied,
    paths_of_nothing,
    safetensors_header,
    shared_modules,
    twice,
    wrong_checksum,
)
from tests.checkpoints.hostile_repeats import changes, repeats, saved_weird, weird_tensors

SECONDS = 20  # until a file is given up
Make = Callable[[], bytes]


def _calls() -> dict[str, bytes]:
    """Names that run something, called with what would bring the canary into being."""
    code_type = call("types.CodeType", *[b"K\x00"] * 5, binary(b"d\x00S\x00"), b")", b")", b")", text("f"))
    return {
        "os.system": call("os.system", TOUCH),
        "posix.system": call("posix.system", TOUCH),
        "subprocess.Popen": call("subprocess.Popen", b"](" + text("touch") + text(CANARY) + b"e"),
        "builtins.eval": call("builtins.eval", OPEN),
        "builtins.exec": call("builtins.exec", OPEN),
        "__builtin__.eval": call("__builtin__.eval", OPEN),
        "builtins.__import__": call("builtins.__import__", text("antigravity")),
        "builtins.open": call("builtins.open", text(CANARY), text("w")),
        "importlib": call("importlib.import_module", text("antigravity")),
        "runpy": call("runpy.run_path", text("/dev/stdin")),
        "webbrowser": call("webbrowser.open", text("http://localhost/")),
        "getattr-ladder": call("builtins.getattr", call("builtins.__import__", text("os")), text("system")),
        "dotted-name": stack_name("os", "path.os.system") + TOUCH + b"\x85R",
        "dotted-name-of-a-known-module": stack_name("torch", "storage.torch.load") + TOUCH + b"\x85R",
        "operator.attrgetter": call("operator.attrgetter", text("system")) + name("os.path") + b"\x85R",
        "functools.partial": call("functools.partial", name("os.system"), TOUCH) + b")R",
        "reduce-chain": call("collections.OrderedDict") + b"2\x85R",
        "result-is-called": call("builtins.set", b"](" + TOUCH + b"e") + b")R",
        "types.CodeType": code_type,
        "types.FunctionType": call("types.FunctionType", code_type, b"}"),
        "cloudpickle": call("cloudpickle.cloudpickle._make_function", code_type, b"}", b"N", b"N", b"N"),
        "cloudpickle-builtin": call("cloudpickle.cloudpickle._builtin_type", text("CodeType")),
        "dill": call("dill._dill._create_function", code_type, b"}"),
        "dill-eval": call("dill._dill._eval_repr", OPEN),
        "numpy.load": call("numpy.load", text(CANARY)),
        "numpy.memmap": call("numpy.memmap", text(CANARY), text("f4"), text("w+"), number(0), numbers(4)),
        "numpy.fromfile": call("numpy.fromfile", text("/etc/hostname")),
        "numpy.f2py": call("numpy.f2py.compile", text("x")),
        "torch.load": call("torch.load", text("/dev/zero")),
        "torch.hub": call("torch.hub.load", text("a/b"), text("c")),
        "torch.jit": call("torch.jit.load", text("x")),
        "torch-class": call("torch.utils.collect_env.run", TOUCH),
        "torch._utils-other": call("torch._utils._import_dotted_name", text("os.system")),
        "torch-wrapper": call("torch._utils._rebuild_wrapper_subclass", name("torch.Tensor")),
        "copyreg._reconstructor": call(
            "copyreg._reconstructor", name("subprocess.Popen"), name("builtins.object"), b"N"
        ),
        "copyreg.add_extension": call("copyreg.add_extension", text("os"), text("system"), b"K\x01"),
        "pip": call("pip.main", b"](" + text("install") + text("x") + b"e"),
        "ctypes": call("ctypes.CDLL", text("libc.so.6")),
        "type": call("builtins.type", text("A"), b")", b"}"),
        "bytearray-of-a-terabyte": call("builtins.bytearray", number(10**12)),
        "newobj": name("subprocess.Popen") + b"](" + text("touch") + text(CANARY) + b"e\x85\x81",
        "newobj-with-keywords": name("collections.OrderedDict") + b")}" + text("a") + b"Ns\x92",
        "stack-global": stack_name("posix", "system") + TOUCH + b"\x85R",
        "stack-global-from-memo": text("os") + b"q\x000" + text("system") + b"q\x010h\x00h\x01\x93" + TOUCH + b"\x85R",
        "inst": b"(" + TOUCH + b"ios\nsystem\n",
        "obj": b"(" + name("collections.OrderedDict") + TOUCH + b"o",
        "ext1": b"\x82\x01",
        "ext4": b"\x84\x01\x00\x00\x00" + TOUCH + b"\x85R",
        "next-buffer": b"\x97",
        "build-on-a-class": name("collections.OrderedDict") + b"}" + text("__reduce__") + b"Nsb",
        "build-on-a-type": name("torch.float32") + b"}" + text("a") + b"Nsb",
        "build-on-an-array": array(numbers(2), dtype("u1"), b"ab") + b"}" + text("data") + b"Nsb",
        "mention-is-called": call("torch.nn.parameter.Parameter", number(1)),
        "persistent-id": b"(" + text("module") + name("collections.OrderedDict") + b"tQ",
        "persistent-id-protocol-0": b"P../../etc/passwd\n",
        "persistence-of-no-class": call("torch_utils.persistence._reconstruct_persistent_obj", b"}"),
        "nested-os.system": nested(call("os.system", TOUCH)),
        "nested-twice": nested(nested(call("os.system", TOUCH))),
        "nested-zip": call("torch.storage._load_from_bytes", binary(archive(call("os.system", TOUCH)))),
        "nested-pickle": call("torch.storage._load_from_bytes", binary(whole(call("os.system", TOUCH)))),
        "rebuild-by-os.system": call(
            "torch._tensor._rebuild_from_type_v2", name("os.system"), b"N", TOUCH + b"\x85", b"N"
        ),
        "rebuild-by-a-dict": call(
            "torch._tensor._rebuild_from_type_v2", name("collections.OrderedDict"), b"N", b")", b"N"
        ),
    }


def _bombs() -> dict[str, Make]:
    """Plain data that is too much of something."""
    return {
        "declared-bytes": lambda: whole(b"\x8e" + struct.pack("<Q", 2**50)),
        "declared-text": lambda: whole(b"\x8d" + struct.pack("<Q", 2**50)),
        "declared-bytearray": lambda: whole(b"\x96" + struct.pack("<Q", 2**63)),
        "declared-frame": lambda: whole(b"\x95" + struct.pack("<Q", 2**62)),
        "declared-integer": lambda: whole(b"\x8b" + struct.pack("<i", 2**31 - 1)),
        "long-integer": lambda: whole(b"\x8b" + struct.pack("<i", 10**6) + bytes(10**6)),
        "long-decimal": lambda: b"I" + b"9" * 10**6 + b"\n.",
        "memo-index": lambda: whole(b"Nr\xff\xff\xff\xff"),
        "doubling": lambda: whole(doubled(300_000, b"\x86")),
        "doubling-as-key": lambda: whole(b"}" + doubled(60, b"\x86") + b"Ns"),
        "doubling-in-a-set": lambda: whole(b"\x8f(" + doubled(60, b"\x86") + b"\x90"),
        "deep-lists": lambda: whole(b"]" * 200_000 + b"a" * 199_999),
        "deep-tuples": lambda: whole(b")" + b"\x85" * 300_000),
        "empty-sets": lambda: whole(b"\x8f" * 3_000_000),
        "empty-lists": lambda: whole(b"]" * 3_000_000),
        "marks": lambda: whole(b"(" * 3_000_000),
        "copies-of-the-top": lambda: whole(b"N" + b"2" * 10_000_000),
        "list-of-itself": lambda: whole(b"]" + b"2(" + b"N" * 3_000_000 + b"e"),
        "wide-text": lambda: whole(text("\U0001f600" + "a" * 20_000_000)),
        "all-that-is-allowed": lambda: whole(
            b"](" + text("\U0001f600" + "a" * 1_900_000) * 2 + b"\x8f" * 100_000 + b"]" * 40_000 + b"e"
        ),
        "colliding-integers": colliding_integers,
        "pairs-copied": pairs_copied,
        "encoded-again": lambda: whole(
            b"]("
            + text("a" * 10**6)
            + b"\x94"
            + (name("_codecs.encode") + b"h\x00" + text("latin1") + b"\x86R") * 999
            + b"e"
        ),
        "numpy-shape": lambda: whole(array(numbers(10**12), dtype("f8"), b"12345678")),
        "numpy-shape-of-nothing": lambda: whole(array(numbers(*[2**40] * 9), dtype("f8"), b"")),
        "numpy-negative": lambda: whole(array(numbers(-1), dtype("u1"), b"a")),
        "numpy-reconstruct": lambda: whole(
            call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), numbers(10**12), binary(b"d"))
        ),
        "numpy-object": lambda: pickle.dumps(__import__("numpy").array([os.system, 1], object)),
        "numpy-object-dtype": lambda: whole(array(numbers(1), dtype("O8"), bytes(8))),
        "numpy-fields": lambda: whole(dtype("V8")),
        "numpy-width": lambda: whole(array(numbers(1), dtype("S1000000000000"), b"a")),
        "numpy-scalar-object": lambda: whole(call("numpy.core.multiarray.scalar", dtype("O"), binary(bytes(8)))),
        "modules-doubled": modules_doubled,
        "components-doubled": components_doubled,
        "arguments-doubled": arguments_doubled,
        "one-large-part-many-times": one_large_part_many_times,
        "tensors-beyond-storage": lambda: one_tensor(1, (4,), (1,)),
        "tensors-far-offset": lambda: one_tensor(2**62, (1,), (1,)),
        "tensors-negative-stride": lambda: one_tensor(3, (4,), (-1,)),
        "tensors-negative-size": lambda: one_tensor(0, (-4,), (1,)),
        "tensors-of-10^12": lambda: one_tensor(0, (10**12,), (0,)),
        "tensors-of-10^12-bytes": lambda: one_tensor(0, (10**12,), (1,), count=10**12),
        "tensors-of-many-dimensions": lambda: one_tensor(0, (1,) * 1000, (1,) * 1000),
        "tensors-without-storage": lambda: archive(tensor(storage("7"), 0, numbers(4), numbers(1)), {"0": bytes(16)}),
        "tensors-of-a-number": lambda: archive(tensor(number(7), 0, numbers(4), numbers(1)), {"0": bytes(16)}),
        "tensors-overlapping": overlapping_tensors,
        "storage-of-two-sizes": lambda: archive(storage() + storage(count=2) + b"\x86", {"0": bytes(16)}),
        "storage-outside": lambda: archive(storage("../../x"), {"0": bytes(16)}),
    }


def _files() -> dict[str, Make]:
    """Archives and files that are not what they seem."""
    return {
        "zip-os.system": lambda: archive(call("os.system", TOUCH)),
        "zip-bomb": lambda: archive(storage(count=250_000), {"0": bytes(10**6)}, method=zipfile.ZIP_DEFLATED),
        "zip-leaves-folder": lambda: archive(b"N", members={"../../canary": b"x"}),
        "zip-absolute": lambda: archive(b"N", members={"/anywhere/canary": b"x"}),
        "zip-drive": lambda: archive(b"N", members={"C:\\canary": b"x"}),
        "zip-twice": twice,
        "zip-overlapping": overlapping_members,
        "zip-checksum": wrong_checksum,
        "zip-of-a-billion": many_members,
        "zip-of-others": lambda: archive(b"N").replace(b"data.pkl", b"data.txt"),
        "zip-encrypted": encrypted,
        "torchscript": lambda: archive(b"N", members={"archive/code/__torch__.py": b"x"}),
        "legacy-os.system": lambda: (
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + whole(call("os.system", TOUCH))
        ),
        "legacy-more-numbers": legacy_of_more_numbers,
        "protocol-0": lambda: b"cos\nsystem\n(S'touch " + CANARY.encode() + b"'\ntR.",
        "malicious-source": lambda: writers.nvidia_pickle(
            writers.persistent({"fc.weight": torch.ones(2)}, source=f"open({CANARY!r}, 'w')")
        ),
        "safetensors-header": lambda: safetensors_header(b"{" + b" " * 5_000_000),
        "safetensors-damaged": lambda: safetensors_header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
        "safetensors-of-others": lambda: safetensors_header(b"{}"),
        "safetensors-deep": deep_json,
        **{
            f"cut-{form}-{int(100 * part)}%": lambda form=form, part=part: cut(form, part)  # type: ignore[misc]
            for form in ("zip", "legacy", "nvidia")
            for part in (0.01, 0.3, 0.9, 0.999)
        },
        "names-of-megabytes": long_global_names,
        "keys-of-megabytes": equal_long_keys,
        "legacy-keys-of-megabytes": legacy_of_long_keys,
        "paths-of-nothing": paths_of_nothing,
        "lines-of-text": lambda: whole(b"(" + (b"V\xf0\x9f\x98\x80" + b"a" * 250 + b"\n") * 20_000 + b"t"),
        "modules-shared": shared_modules,
        "names-of-one-tensor": many_names,
        "zip-long-names": long_member_names,
        "tf-noise-of-gigabytes": lambda: writers.tf_pickle(
            writers.tf_variables(writers.stylegan2_state())
            | {"synthesis/noise4000000001": torch.ones(1, 1, 4, 4).numpy()},
            {},
        ),
        "colours-of-no-shape": lambda: changed_state("synthesis.b4.torgb.weight", torch.ones(())),
        "filter-of-no-shape": lambda: changed_state("synthesis.b8.conv0.resample_filter", torch.ones(())),
        "filter-of-three-axes": lambda: changed_state("synthesis.b8.resample_filter", torch.ones(4, 4, 1)),
        "safetensors-of-bytes": lambda: converted({"mapping.fc0.weight": torch.ones(10**7).byte()}, "stylegan2"),
        "safetensors-filter": lambda: converted(disc_filtered(), "stylegan3", num_critical=0, filter_size=15_000),
        "safetensors-taps": lambda: converted(disc_filtered(), "stylegan3", num_critical=0, lrelu_upsampling=10**8),
        "safetensors-negative": lambda: converted(disc_filtered(), "stylegan3", num_critical=0, lrelu_upsampling=-1),
        "safetensors-true": lambda: converted(disc_filtered(), "stylegan3", num_critical=0, first_cutoff=True),
        "escapes": lambda: b"c\x1b]0;title\x07\x1b[2Jx\ny\n",
        "zeros": lambda: bytes(1_000_000),
        "zlib": lambda: zlib.compress(bytes(1000)),
    }


def hostile_files() -> dict[str, Make]:
    """All by name."""
    return {
        **{key: lambda code=code: whole(code) for key, code in _calls().items()},  # type: ignore[misc]
        **_bombs(),
        **_files(),
        **repeats(),
        **{key: lambda data=data: data for key, data in changes().items()},  # type: ignore[misc]
        **{f"tensor-{key}": lambda key=key: saved_weird(key) for key in weird_tensors()},  # type: ignore[misc]
    }


# ---------------------------------------------------------------- measuring


def memory(key: str) -> int:
    """Bytes, of this process: "VmHWM" at its largest, "VmRSS" now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _attempt(path: Path) -> dict[str, Any]:
    """Read it here and now."""
    forget_peak()
    before, start = memory("VmHWM"), time.process_time()
    try:
        from_file(str(path))
        kind, message = "nothing", "read"
    except UserError as error:
        kind, message = "UserError", str(error)
    except BaseException as error:
        kind, message = type(error).__name__, str(error)[:300]
    seconds = time.process_time() - start
    return {"raised": kind, "message": message, "seconds": seconds, "peak": memory("VmHWM") - before}


def _in_a_fork(path: Path) -> dict[str, Any]:
    """Each file in a process of its own, so that each has a peak of its own, and none can harm the next."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(SECONDS)
        os.write(writing, json.dumps(_attempt(path)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(told) if told else {"raised": f"status {status}", "message": "", "seconds": SECONDS, "peak": 0}


def measure(folder: Path) -> dict[str, dict[str, Any]]:
    """What reading each file costs, and whether the canary came into being. Run it in a process of its own."""
    os.chdir(folder)
    warm = folder / "warm"
    warm.write_bytes(writers.saved({"g_ema": writers.rosinality_state(writers.stylegan2_state())}))
    from_file(str(warm))  # so that code is in memory that every file needs
    results = {}
    for key, make in hostile_files().items():
        path = folder / "file.bin"
        path.write_bytes(make())
        results[key] = {**_in_a_fork(path), "size": path.stat().st_size, "canary": Path(CANARY).exists()}
        path.unlink()
    return results


def measured_elsewhere(folder: Path) -> dict[str, dict[str, Any]]:
    """`measure` in a process that has loaded nothing else."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.checkpoints.hostile", "json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def table(results: dict[str, dict[str, Any]], folder: str) -> str:
    """Markdown: files that are refused alike in one row."""
    alike: dict[str, list[str]] = {}
    for key, row in results.items():
        message = row["message"].replace(f"{folder}/file.bin: ", "").replace("|", "\\|").replace("\n", " ")
        message = re.sub(r"asks for [\w.]+", "asks for NAME", message)
        alike.setdefault(re.sub(r"\(.*", "(...)", message)[:110], []).append(key)
    lines = ["| files | what they raise | at most |", "|---|---|---|"]
    for message, keys in sorted(alike.items(), key=lambda pair: -len(pair[1])):
        seconds, peak = (max(results[key][what] for key in keys) for what in ("seconds", "peak"))
        lines.append(f"| {', '.join(keys)} | {message} | {seconds:.1f} s, {peak / 1e6:.0f} MB |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["json"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        with tempfile.TemporaryDirectory() as place:
            print(table(measured_elsewhere(Path(place)), place))
