"""Files of latents: what goes in comes out, and what is none, damaged or another generator's is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from gan_inversion.blending.recipes import check_parents
from gan_inversion.blending.walk import load_stops
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import to_tensor
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.inversion.starts import FromInversion
from gan_inversion.latents import (
    OtherContentError,
    check_shape,
    latents_at,
    load_all_latents,
    load_latents,
    save_latents,
)
from gan_inversion.report.atlas.points import find_faces
from tests.conftest import drawn

WS = torch.zeros(8, 16)
FACTS = json.dumps({"generator_sha256": "f" * 64, "interrupted": False})


def written(path: Path, tensors: Mapping[str, torch.Tensor], facts: str = FACTS) -> Path:
    path.write_bytes(save(dict(tensors), {"gan_inversion": facts}))
    return path


def with_header(path: Path, header: bytes, data: bytes = bytes(64)) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"ws": WS * float("nan")}, "ws has numbers that are not finite"),
        ({"ws": WS + float("inf")}, "ws has numbers that are not finite"),
        ({"ws": WS.int()}, r"ws is int32 \[8, 16\]"),
        ({"ws": WS.double()}, r"ws is float64 \[8, 16\]"),
        ({"ws": WS.to(torch.float8_e4m3fn)}, "ws is float8_e4m3fn"),
        ({"ws": torch.tensor(1.0)}, r"ws is float32 \[\]"),
        ({"ws": WS[None]}, r"ws is float32 \[1, 8, 16\]"),
        ({"ws": torch.zeros(0, 16)}, r"ws is float32 \[0, 16\]"),
        ({"a": WS, "a.style_offset": WS.clone()}, r"a.style_offset is float32 \[8, 16\]"),
        ({"a": WS, "a.noise.0": torch.full((4, 4), float("nan"))}, "a.noise.0 has numbers"),
    ],
)
def test_numbers_that_are_no_latents(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    path = written(tmp_path / "anna.safetensors", tensors)
    with pytest.raises(UserError, match=rf"anna.safetensors: .*{message}"):
        load_all_latents(path)


@pytest.mark.parametrize(
    "facts", ["[]", "{}", "3", '{"generator_sha256": 3}', '{"generator_sha256": "f", "kind": "e"}']
)
def test_facts_that_are_not_ours(tmp_path: Path, facts: str) -> None:
    with pytest.raises(OtherContentError, match=r"anna.safetensors: not a file of stored latents"):
        load_all_latents(written(tmp_path / "anna.safetensors", {"ws": WS}, facts))


@pytest.mark.parametrize(
    "header",
    [
        b'{"__metadata__": ["gan_inversion"]}',
        b'{"__metadata__": {"gan_inversion": 3}}',
        b'{"__metadata__": {"gan_inversion": "{"}}',
        b'{"__metadata__": {"gan_inversion": "' + b"[" * 100_000 + b'"}}',
        b'{"__metadata__": null}',
        b'{"ws": {"dtype": "F4", "shape": [8, 16], "data_offsets": [0, 64]}}',
        b'{"ws": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 64]}}',
        b"[]",
        b"{",
        b"",
    ],
)
def test_headers_of_every_kind(tmp_path: Path, header: bytes) -> None:
    path = with_header(tmp_path / "anna.safetensors", header, bytes(64) if b"F" in header else b"")
    with pytest.raises(UserError, match=r"anna.safetensors: not a file of stored latents"):
        load_all_latents(path)


@pytest.mark.parametrize("name", ["none.safetensors", ".", "a\0b", "~nobody-here/a.safetensors"])
def test_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not a file of stored latents"):
        load_latents(name, "ws")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_latents(tmp_path / "a.safetensors", {"ws": Latents(WS), "x": Latents(WS + 1)}, "f" * 64)
    assert torch.equal(latents_at("~/a.safetensors").ws, WS)
    assert torch.equal(latents_at("~/a.safetensors:x").ws, WS + 1)


def blend(path: Path, generator: Tiny) -> None:
    found = load_latents(path, "ws")
    check_parents(found, found, generator)


def start(path: Path, generator: Tiny) -> None:
    FromInversion(str(path))(generator, to_tensor(drawn(generator, 1).pixels), "ws", 0)


def walk(path: Path, generator: Tiny) -> None:
    load_stops([f"{path}:ws", f"{path}:ws"], generator)


def atlas(path: Path, generator: Tiny) -> None:
    find_faces([str(path)], generator)


@pytest.mark.parametrize("use", [blend, start, walk, atlas])
def test_other_sizes_are_told_before_any_work(
    generator: Tiny, tmp_path: Path, use: Callable[[Path, Tiny], Any]
) -> None:
    path = tmp_path / "anna.safetensors"
    for shape in ((4, 16), (8, 17)):
        save_latents(path, {"ws": Latents(torch.zeros(shape))}, generator.sha256)
        with pytest.raises(UserError, match=r"tiny"):
            use(path, generator)
    save_latents(path, {"ws": Latents(WS, torch.zeros(3))}, generator.sha256)
    with pytest.raises(UserError, match=r"3 styles do not fit tiny, which has \d+"):
        use(path, generator)
    save_latents(path, {"ws": Latents(WS, noise=(torch.zeros(3, 3),))}, generator.sha256)
    with pytest.raises(UserError, match=r"noise maps do not fit those of tiny"):
        use(path, generator)
    maps = tuple(one[0, 0] for one in generator.noise_maps())
    save_latents(path, {"ws": Latents(WS, torch.zeros(len(generator.style_rows)), maps)}, generator.sha256)
    use(path, generator)


def test_sizes_are_told_in_a_sentence(generator: Tiny) -> None:
    found = Inversion(torch.zeros(4, 16), generator.sha256)
    with pytest.raises(UserError, match=r"x: \[4, 16\] do not fit tiny, which has 8 rows of 16 numbers\."):
        check_shape(found.latents, generator, "x")


def test_a_folder_of_other_files_is_a_map_of_its_faces(generator: Tiny, tmp_path: Path) -> None:
    """What holds something else is left out; what is damaged is not."""
    save_latents(tmp_path / "anna.safetensors", {"ws": Latents(WS)}, generator.sha256)
    (tmp_path / "trace.safetensors").write_bytes(save({"ws": torch.zeros(3, 8, 16), "loss.mse": torch.zeros(3)}))
    written(tmp_path / "encoder.safetensors", {"a": WS.half()}, '{"kind": "encoder", "generator_sha256": "f"}')
    assert [point.name for point in find_faces([str(tmp_path)], generator)] == ["anna"]
    save_latents(tmp_path / "bert.safetensors", {"ws": Latents(WS * float("nan"))}, generator.sha256)
    with pytest.raises(UserError, match=r"bert.safetensors: .*not finite"):
        find_faces([str(tmp_path)], generator)
