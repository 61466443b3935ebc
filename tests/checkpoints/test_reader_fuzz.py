"""Damaged files and random byte code: whatever is in a file, reading it gives a checkpoint or one clear error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import read_checkpoint, save_checkpoint
from gan_inversion.checkpoints.unpickle import read_pickle
from gan_inversion.errors import UserError
from tests.checkpoints import byte_code, writers

BOUNDED = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@cache
def valid() -> dict[str, bytes]:
    state = writers.stylegan2_state()
    theirs = {"g_ema": writers.rosinality_state(state), "latent_avg": state["mapping.w_avg"]}
    return {
        "zip": writers.saved(theirs),
        "legacy": writers.saved(theirs, legacy=True),
        "nvidia": writers.nvidia_pickle(writers.persistent(state)),
        "tensorflow": writers.tf_pickle(writers.tf_variables(state), {"conv_clamp": 256}),
    }


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], None]]:
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    os.chdir(folder)  # where the canary would come into being
    path = folder / "file.bin"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            assert isinstance(read_checkpoint(path), Checkpoint)
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
        assert not (folder / byte_code.CANARY).exists()

    yield read
    os.chdir(before)


def test_the_files_are_valid_before_they_are_damaged(tmp_path: Path) -> None:
    for data in valid().values():
        (tmp_path / "file.bin").write_bytes(data)
        save_checkpoint(tmp_path / "ours", read_checkpoint(tmp_path / "file.bin"))
        read_checkpoint(tmp_path / "ours")


PLACES = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(st.tuples(PLACES, st.integers(0, 7)), min_size=1, max_size=8)


@BOUNDED
@given(form=st.sampled_from(["zip", "legacy", "nvidia", "tensorflow"]), flips=CHANGES, crowd=PLACES, width=PLACES)
def test_flipped_bits(
    check: Callable[[bytes], None], form: str, flips: list[tuple[float, int]], crowd: float, width: float
) -> None:
    """Bits near each other, as numbers take most of a file, and flips in them are only other numbers."""
    data = bytearray(valid()[form])
    for place, bit in flips:
        data[int(len(data) * (crowd + place * width**4) % len(data))] ^= 1 << bit
    check(bytes(data))


@BOUNDED
@given(form=st.sampled_from(["zip", "legacy", "nvidia", "tensorflow"]), cuts=st.lists(PLACES, min_size=2, max_size=4))
def test_parts_that_are_missing_or_there_twice(check: Callable[[bytes], None], form: str, cuts: list[float]) -> None:
    data = valid()[form]
    places = [int(len(data) * cut) for cut in cuts]
    check(data[: places[0]] + b"".join(data[a:b] for a, b in zip(places[1:], [*places[2:], len(data)], strict=True)))


WORDS = [
    *(bytes([code]) for code in range(256)),
    *(bytes([code]) for code in b"()]}0122NNabdeostulRRR\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94"),
    *(b"h" + bytes([i]) for i in range(8)),
    *(b"q" + bytes([i]) for i in range(8)),
    *map(byte_code.name, ["collections.OrderedDict", "argparse.Namespace", "torch.FloatStorage", "torch.Size"]),
    *map(byte_code.name, ["numpy.dtype", "numpy.ndarray", "numpy.core.multiarray._reconstruct", "torch.float32"]),
    *map(byte_code.name, ["torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes", "builtins.set"]),
    *map(byte_code.name, ["torch_utils.persistence._reconstruct_persistent_obj", "dnnlib.tflib.network.Network"]),
    *map(byte_code.name, ["os.system", "builtins.eval"]),
    *map(byte_code.text, ["a", "os", "system", "_modules", "class_name", "state", "G_ema", "g_ema", "variables"]),
    *map(byte_code.number, [0, 1, -1, 2**31, 10**12]),
    byte_code.TOUCH,
    byte_code.ARRAY,
    byte_code.dtype("f4"),
    byte_code.array(byte_code.numbers(1), byte_code.dtype("f4"), bytes(4)),
    b"}" + byte_code.text("class_name") + byte_code.text("A") + b"s" + byte_code.text("state") + b"}s",
]


@BOUNDED
@given(words=st.lists(st.sampled_from(WORDS), max_size=40), wrapped=st.booleans())
def test_random_byte_code(check: Callable[[bytes], None], words: list[bytes], wrapped: bool) -> None:
    code = b"".join(words)
    check(byte_code.archive(code, {"0": bytes(16)}) if wrapped else byte_code.whole(code))


@BOUNDED
@given(words=st.lists(st.sampled_from(WORDS), max_size=40))
def test_keys_are_short_text_and_numbers(words: list[bytes]) -> None:
    """Whatever the byte code does with its stack and its memo."""
    try:
        waiting = [read_pickle(memoryview(byte_code.whole(b"".join(words))))[0]]
    except UserError:
        return
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict | set | frozenset):
            assert {type(key) for key in value} <= {str, int, bool, type(None)}
            waiting += value.values() if isinstance(value, dict) else []
        elif type(value) in (list, tuple):
            waiting += value
