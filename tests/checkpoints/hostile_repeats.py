"""Files in which one thing is made once and used again and again, and files that change what stands in for names."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import torch

from tests.checkpoints import writers
from tests.checkpoints.byte_code import (
    ARRAY,
    archive,
    binary,
    call,
    dtype,
    name,
    number,
    numbers,
    storage,
    tensor,
    text,
    whole,
)

OBJECT = name("argparse.Namespace") + b")\x81"
LARGE = b"(" + b"N" * 60_000 + b"l"  # what is copied, looked through or compared in each of many calls
FORGOTTEN = b"\x94" + b"0"  # put in the memo, and off the stack


def dict_of(count: int) -> bytes:
    return b"}(" + b"".join(b"\x8c\x06%06dN" % i for i in range(count)) + b"u"


def many(code: bytes, times: int, *remembered: bytes) -> bytes:
    """A list of what `code` makes of what was remembered, as h\\x00, h\\x01, ..."""
    return whole(b"".join(part + FORGOTTEN for part in remembered) + b"](" + code * times + b"e")


def remembered_and_built(places: int, times: int) -> bytes:
    """One object in many places of the memo and of the stack, in each of which it is given its content."""
    state = b"}" + text("a") + b"Ns"
    return whole(state + FORGOTTEN + OBJECT + b"\x94" * places + b"2" * times + b"h\x00b0" * times)


def keys_looked_at_again(keys: int, times: int) -> bytes:
    """A dict that is the content of many objects."""
    return many(OBJECT + b"h\x00b", times, dict_of(keys))


def storage_read_again() -> bytes:
    """One storage of NVIDIA's, of 20,000 opcodes, in 20,000 places."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    inner = head + whole(b"N0" * 10_000 + storage(count=1)[:-2] + b"NtQ") + pickle.dumps(["0"], 2)
    again = name("torch.storage._load_from_bytes") + b"h\x00\x85R"
    return many(again, 20_000, binary(inner + struct.pack("<Q", 1) + bytes(4)))


def equal_floats() -> bytes:
    """Floating-point keys, of which two thousand have the same hash."""
    values = [struct.pack(">d", (1.0 + k / 64) * 2.0**e) for e in range(-1000, 1000) for k in range(25)]
    return whole(b"}(" + b"".join(b"G" + value + b"N" for value in values) + b"u")


def members_without_content() -> bytes:
    """A zip of a directory alone, of 38,000 entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("?????", b"")
    entry, end = buffer.getvalue()[35:86], bytearray(buffer.getvalue()[86:])
    entries = b"".join(entry.replace(b"?????", b"%05d" % i) for i in range(38_000))
    end[8:20] = struct.pack("<HHLL", 38_000, 38_000, len(entries), 0)
    return b"PK\x03\x04" + entries + bytes(end)


def compressed_records() -> bytes:
    """500 million zeros in half a megabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(
            "archive/data.pkl", whole(tensor(storage(count=125_000_000), 0, numbers(125_000_000), numbers(1)))
        )
        with file.open("archive/data/0", "w") as record:
            for _ in range(500):
                record.write(bytes(10**6))
    return buffer.getvalue()


def repeats() -> dict[str, Callable[[], bytes]]:
    state = b"(K\x01" + numbers(2) + dtype("u1") + b"\x89" + binary(b"ab") + b"t"
    return {
        "remembered-and-built": lambda: remembered_and_built(120_000, 31_000),
        "remembered-and-built-as-allowed": lambda: remembered_and_built(80_000, 28_000),
        "keys-looked-at-again": lambda: keys_looked_at_again(120_000, 30_000),
        "keys-looked-at-again-as-allowed": lambda: keys_looked_at_again(60_000, 12_000),
        "persistent-again": lambda: many(
            name("torch_utils.persistence._reconstruct_persistent_obj") + b"h\x00\x85R",
            15_000,
            dict_of(60_000) + text("class_name") + text("A") + b"s",
        ),
        "arguments-copied": lambda: many(name("pathlib.Path") + b"h\x00R", 30_000, LARGE[:-1] + b"t"),
        "arguments-of-new-objects": lambda: many(
            name("collections.OrderedDict") + b"h\x00\x81", 30_000, LARGE[:-1] + b"t"
        ),
        "a-set-again": lambda: many(name("builtins.set") + b"h\x00\x85R", 30_000, LARGE),
        "a-size-again": lambda: many(name("torch.Size") + b"h\x00\x85R", 30_000, LARGE),
        "a-dict-again": lambda: many(name("collections.OrderedDict") + b"h\x00\x85R", 15_000, dict_of(60_000)),
        "an-array-again": lambda: whole(state + FORGOTTEN + ARRAY + b"h\x00b" * 90_000),
        "a-large-shape-again": lambda: many(
            ARRAY + b"(K\x01h\x00h\x01\x89h\x02tb", 5_000, LARGE[:-1] + b"t", dtype("u1"), binary(b"")
        ),
        "storage-read-again": storage_read_again,
        "equal-floats": equal_floats,
        "sets-that-are-allowed": lambda: whole(b"](" + b"\x8f" * 199_000 + b"e"),
        "bytes-that-are-allowed": lambda: whole(b"](" + b"C\x00" * 199_000 + b"e"),
        "key-from-the-memo": lambda: whole(b"K\x01\x94" + b")\x85q\x00" + b"}h\x00Ns"),
        "zip-directory-alone": members_without_content,
        "zip-compressed": compressed_records,
    }


def changes() -> dict[str, bytes]:
    """BUILD, which sets attributes, on what has attributes."""
    slots = b"N}" + text("make") + b"Ns\x86b"
    one = archive(
        tensor(storage(), 0, numbers(4), numbers(1)) + b"}" + text("shape") + numbers(10**12) + b"sb", {"0": bytes(16)}
    )
    return {
        "change-a-tensor": one,
        "change-a-storage": archive(storage() + b"}" + text("count") + number(10**12) + b"sb", {"0": bytes(16)}),
        "change-a-name": whole(name("pathlib.Path") + slots),
        "change-a-class": whole(name("argparse.Namespace") + slots),
        "change-a-type": whole(name("torch.float32") + slots),
        "change-a-dtype": whole(dtype("f4") + slots),
        "change-a-call-to-nothing": whole(call("collections.OrderedDict") + slots + b")R"),
    }


# ---------------------------------------------------------------- tensors that torch writes


def weird_tensors() -> dict[str, tuple[Callable[[], torch.Tensor], str]]:
    """Tensors that are no rows of numbers, and what is said of each."""
    ones = torch.ones(4, 4)
    return {
        "expanded": (lambda: torch.ones(1).expand(10**9), "was expanded to more numbers than are stored"),
        "meta": (lambda: torch.ones(2, device="meta"), "without numbers, of the device meta"),
        "sparse": (ones.to_sparse, "it holds a sparse tensor"),
        "sparse-rows": (ones.to_sparse_csr, "it holds a sparse tensor"),
        "quantized": (lambda: torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8), "it holds a quantized tensor"),
        "nested": (lambda: torch.nested.nested_tensor([ones, ones[:2]]), "it holds a nested tensor"),
        "complex": (lambda: torch.ones(2, dtype=torch.complex64), "it holds a tensor of complex numbers"),
    }


def saved_weird(key: str, legacy: bool = False) -> bytes:
    state = writers.rosinality_state(writers.stylegan2_state())
    return writers.saved({"g_ema": state | {"style.1.weight": weird_tensors()[key][0]()}}, legacy)
