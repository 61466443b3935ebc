"""Parts of hostile files that take more than a line: each a whole file's bytes, or what is put into one."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import Any

import torch
from safetensors.torch import save as save_safetensors

from tests.checkpoints import writers
from tests.checkpoints.byte_code import archive, binary, call, name, number, numbers, storage, tensor, text, whole


def overlapping_tensors() -> bytes:
    """A hundred tensors of one storage of 2 MB, under the names of a generator."""
    one = tensor(storage(count=500_000), 0, numbers(500_000), numbers(1))
    names = ["mapping.fc0.weight", "synthesis.b4.const", *(f"synthesis.x{i}" for i in range(100))]
    return archive(b"}(" + b"".join(text(each) + one for each in names) + b"u", {"0": bytes(2_000_000)})


def overlapping_members() -> bytes:
    """Two entries of the directory for one member."""
    data = archive(b"N", {"0": bytes(64)}, members={"archive/data/1": bytes(64)})
    place = data.rfind(b"PK\x01\x02")
    first = data.find(b"archive/data/0") - 30
    return data[: place + 42] + struct.pack("<L", first) + data[place + 46 :]


def twice() -> bytes:
    data = archive(b"N", {"0": bytes(64)}, members={"archive/data/1": bytes(64)})
    return data.replace(b"archive/data/1", b"archive/data/0")


def wrong_checksum() -> bytes:
    data = bytearray(writers.saved({"g_ema": writers.rosinality_state(writers.stylegan2_state())}))
    place = data.find(b"archive/data/5")
    data[place + 200] ^= 1
    return bytes(data)


def many_members() -> bytes:
    """A directory that says it has a billion entries."""
    data = bytearray(archive(b"N"))
    data[-14:-10] = b"\xfe\xff\xfe\xff"
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(archive(b"N"))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def nested(code: bytes) -> bytes:
    """A storage, as plain pickles hold it, whose own pickle is `code`."""
    file = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return call("torch.storage._load_from_bytes", binary(file + b"\x80\x02" + code + b"." + pickle.dumps([], 2)))


# ---------------------------------------------------------------- bombs


def doubled(count: int, kind: bytes, start: bytes = b")") -> bytes:
    """x = (x, x), `count` times."""
    return start + (b"2" + kind) * count


def modules_doubled() -> bytes:
    """Each module holds the next one twice."""
    with writers.foreign_modules():
        inner: Any = writers.Persistent("M", {"_modules": {}}, "")
        for _ in range(60):
            inner = writers.Persistent("M", {"_modules": {"a": inner, "b": inner}}, "")
        return pickle.dumps({"G_ema": inner})


def components_doubled() -> bytes:
    with writers.foreign_modules():
        network = writers.tf_network({"mapping/a/b": torch.ones(2).numpy()}, {})
        for _ in range(60):
            outer = writers.Network()
            outer.__dict__ = {**network.__dict__, "components": {"a": network, "b": network}}
            network = outer
        return pickle.dumps((network, network, network))


def arguments_doubled() -> bytes:
    """An option that is a tree of 2^60 leaves."""
    value: Any = [1]
    for _ in range(60):
        value = [value, value]
    variables = writers.tf_variables(writers.stylegan2_state())
    return writers.tf_pickle(variables, {"conv_clamp": value})


def one_large_part_many_times() -> bytes:
    """A thousand modules that share one dict of 20,000 entries."""
    with writers.foreign_modules():
        shared = {f"a{i}": None for i in range(20_000)}
        inner = {f"m{i}": writers.Persistent("M", {"_parameters": shared}, "") for i in range(1000)}
        return pickle.dumps({"G_ema": writers.Persistent("M", {"_modules": inner}, "")})


def colliding_integers() -> bytes:
    keys = b"".join(number(i * (2**61 - 1)) + b"N" for i in range(1, 60_000))
    return whole(b"}(" + keys + b"u")


def pairs_copied() -> bytes:
    """OrderedDict(pairs) of one list of pairs, again and again."""
    pairs = b"](" + b"".join(text(str(i)) + b"N\x86" for i in range(20_000)) + b"e\x94"
    return whole(b"](" + pairs + (name("collections.OrderedDict") + b"h\x00\x85R") * 10_000 + b"e")


def encoded_again() -> bytes:
    """Bytes of one text, again and again."""
    again = name("_codecs.encode") + b"h\x00" + text("latin1") + b"\x86R"
    return whole(b"](" + text("a" * 10**6) + b"\x94" + again * 999 + b"e")


def safetensors_header(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def legacy_of_more_numbers() -> bytes:
    """One tensor, so that where it lies in the file does not depend on addresses in memory."""
    data, tail = writers.saved({"weight": torch.ones(4)}, legacy=True), 8 + 4 * 4  # its count, its numbers
    return data[:-tail] + b"\xff" * 8 + data[-16:]


def legacy_of_long_keys() -> bytes:
    """Comparing two keys that differ at their ends takes as long as they are, and they can be named a million times."""
    long = "a" * 1_900_000
    keys = b"(" + text(long + "b") + b"q\x00" + text(long + "c") + b"q\x01" + b"h\x00h\x01" * 20_000 + b"l"
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return start + pickle.dumps({"little_endian": True}, 2) + whole(b"N") + whole(keys)


def equal_long_keys() -> bytes:
    long = text("a" * 1_900_000)
    return whole(long + b"q\x00" + long + b"q\x01" + b"}(" + b"h\x00N" + b"h\x01N" * 100_000 + b"u")


def long_global_names() -> bytes:
    names = text("torch.nn.modules." + "a" * 1_900_000) + b"q\x00" + text("A" * 1_900_000) + b"q\x01"
    return whole(b"(" + names + b"h\x00h\x01\x93" * 150 + b"t")


def paths_of_nothing() -> bytes:
    """20,000 empty parts make a path of 19,999 strokes, 10,000 times."""
    parts = text("") + b"q\x00" + b"(" + b"h\x00" * 20_000 + b"t" + b"q\x01"
    return whole(parts + name("pathlib.PosixPath") + b"q\x02" + b"](" + b"h\x02h\x01R" * 10_000 + b"e")


def shared_modules() -> bytes:
    """One module of 95 tensors in 2,900 places."""
    one = torch.ones(1)

    def module(parameters: dict[str, Any], modules: dict[str, Any]) -> Any:
        made = writers.persistent({})
        made.meta["state"] = {"_parameters": parameters, "_buffers": {}, "_modules": modules}
        return made

    shared = module({f"{i:02d}" + "p" * 95: one for i in range(95)}, {})
    blocks = {"b4": module({"const": one}, {})} | {f"{i:04d}" + "m" * 94: shared for i in range(2_900)}
    first = module({}, {"fc0": module({"weight": one}, {})})
    return writers.nvidia_pickle(module({}, {"mapping": first, "synthesis": module({}, blocks)}))


def many_names() -> bytes:
    """One tensor under 200,000 names."""
    one = tensor(storage(count=1), 0, numbers(1), numbers(1)) + b"q\x000"
    names = b"".join(text(known) + b"h\x00" for known in ("mapping.fc0.weight", "synthesis.b4.const"))
    return archive(
        one + b"}(" + names + b"".join(b"\x8c\x06%06dh\x00" % i for i in range(200_000)) + b"u", {"0": bytes(4)}
    )


def long_member_names() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for i in range(600):
            file.writestr(f"{i}\U0001f600" + "a" * 65_000 + "/x", b"")
    return buffer.getvalue()


def disc_filtered() -> dict[str, torch.Tensor]:
    """A StyleGAN3-R whose filters would be designed anew: two axes, and no size that is told."""
    sizes = {"affine.weight": (4, writers.W), "affine.bias": (4,), "bias": (4,), "magnitude_ema": ()}
    state = writers.stylegan3_state() | {"synthesis.L0_36_4.down_filter": torch.ones(12, 12)}
    return state | {f"synthesis.L0_36_4.{name}": torch.ones(shape) for name, shape in sizes.items()}


def changed_state(name: str, value: torch.Tensor) -> bytes:
    return writers.nvidia_pickle(writers.persistent(writers.stylegan2_state() | {name: value}))


def converted(state: dict[str, torch.Tensor], family: str, **options: Any) -> bytes:
    told = json.dumps({"kind": "generator", "family": family, "options": options, "facts": {}})
    return save_safetensors(state, {"gan_inversion": told})


def deep_json() -> bytes:
    told = json.dumps("[" * 200_000)
    return safetensors_header(b'{"__metadata__":{"gan_inversion":' + told.encode() + b"}}")


def cut(form: str, part: float) -> bytes:
    state = writers.rosinality_state(writers.stylegan2_state())
    data = {
        "zip": lambda: writers.saved({"g_ema": state}),
        "legacy": lambda: writers.saved({"g_ema": state}, legacy=True),
        "nvidia": lambda: writers.nvidia_pickle(writers.persistent(writers.stylegan2_state())),
    }[form]()
    return data[: int(len(data) * part)]
