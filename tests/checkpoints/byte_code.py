"""Pickles, arrays and torch's zips, byte by byte: what no library would write."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

CANARY = "gan_inversion_canary"  # a file, in the folder that reading happens in, which must never come into being


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(full: str) -> bytes:
    module, _, attribute = full.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def call(full: str, *args: bytes) -> bytes:
    return name(full) + b"(" + b"".join(args) + b"tR"


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def binary(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def whole(code: bytes) -> bytes:
    return b"\x80\x04" + code + b"."


TOUCH = text(f"touch {CANARY}")
OPEN = text(f"open({CANARY!r}, 'w')")
ARRAY = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), numbers(0), binary(b"b"))


def dtype(code: str) -> bytes:
    return call("numpy.dtype", text(code), b"\x89", b"\x88")


def array(shape: bytes, kind: bytes, data: bytes) -> bytes:
    return ARRAY + b"(K\x01" + shape + kind + b"\x89" + binary(data) + b"tb"


# ---------------------------------------------------------------- torch's zips by hand


def archive(code: bytes, storages: dict[str, bytes] | None = None, **extra: Any) -> bytes:
    """A zip as torch writes it: `code` is data.pkl."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", extra.get("method", zipfile.ZIP_STORED)) as file:
        file.writestr("archive/data.pkl", whole(code))
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
        for member, data in extra.get("members", {}).items():
            file.writestr(member, data)
    return buffer.getvalue()


def storage(key: str = "0", count: int = 4, kind: str = "torch.FloatStorage") -> bytes:
    return b"(" + text("storage") + name(kind) + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(where: bytes, offset: int, shape: bytes, stride: bytes) -> bytes:
    hooks = name("collections.OrderedDict") + b")R"
    return call("torch._utils._rebuild_tensor_v2", where, number(offset), shape, stride, b"\x89", hooks)


def one_tensor(offset: int, shape: tuple[int, ...], stride: tuple[int, ...], count: int = 4) -> bytes:
    return archive(tensor(storage(count=count), offset, numbers(*shape), numbers(*stride)), {"0": bytes(16)})
