"""Trained parts: what their headers may not be, and what is not whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from gan_inversion.assets.trained import WITHOUT, load_trained
from gan_inversion.editing.files import DIRECTIONS, REGIONS_FILE, load_directions, load_regions
from gan_inversion.errors import UserError
from gan_inversion.generators.preview import HEADS
from gan_inversion.generators.tiny import Tiny
from gan_inversion.inversion.encoder import ENCODER, load_encoder
from gan_inversion.storage.tensors import read_tensors
from tests.composed import command_of, compose


def written(path: Path, header: Any, **tensors: torch.Tensor) -> str:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(save(tensors or {"a": torch.zeros(2)}, {"gan_inversion": text}))
    return str(path)


@pytest.mark.parametrize("header", ["[]", "{", "3", "null", '"part"', "[" * 100_000, '{"kind": ["part"]}', "{}"])
def test_headers_that_are_none(generator: Tiny, tmp_path: Path, header: str) -> None:
    with pytest.raises(
        UserError, match=r"x.safetensors: (this is .*, not part\.|.*its header (is no JSON object|does not say kind))"
    ):
        load_trained(written(tmp_path / "x.safetensors", header), "part", generator)


@pytest.mark.parametrize("facts", [None, [], 3, "facts"])
@pytest.mark.parametrize("sha256", [None, 3, []])
def test_facts_of_other_types(generator: Tiny, tmp_path: Path, facts: Any, sha256: Any) -> None:
    header = {"kind": "part", "generator_sha256": sha256, "facts": facts}
    for one in (header, {**header, "generator_sha256": generator.sha256}, {"kind": "part"}):
        with pytest.raises(UserError, match=r"x.safetensors: its header does not say"):
            load_trained(written(tmp_path / "x.safetensors", one), "part", generator)


def test_numbers_that_are_none(generator: Tiny, tmp_path: Path) -> None:
    header = {"kind": "part", "generator_sha256": generator.sha256, "facts": {}}
    path = written(tmp_path / "x.safetensors", header, a=torch.tensor([1.0, float("nan")]))
    with pytest.raises(UserError, match=r"x.safetensors: damaged: a has numbers that are not finite"):
        load_trained(path, "part", generator)


@pytest.mark.parametrize("kind", [ENCODER, DIRECTIONS, REGIONS_FILE, HEADS])
def test_another_generator_s_are_refused_with_what_to_say_instead(generator: Tiny, tmp_path: Path, kind: str) -> None:
    """The remedy is made of keys that commands have."""
    path = written(tmp_path / "x.safetensors", {"kind": kind, "generator_sha256": "f" * 64, "facts": {}})
    with pytest.raises(UserError, match=re.escape(f"Go without: {WITHOUT[kind]}.")):
        load_trained(path, kind, generator)
    command_of(compose(*WITHOUT[kind].split()))


@pytest.mark.parametrize("kind", ["F4", "F8_E8M0", "F6_E2M3", "X"])
def test_types_that_torch_does_not_know(tmp_path: Path, kind: str) -> None:
    header = json.dumps({"a": {"dtype": kind, "shape": [16, 8], "data_offsets": [0, 64]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(
        UserError,
        match=r"x.safetensors: (not a safetensors file, or damaged|a is float8.*, which no file of this project has)",
    ):
        read_tensors(tmp_path / "x.safetensors")


def test_no_header_is_an_empty_one(tmp_path: Path) -> None:
    header = b'{"__metadata__": null}'
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    found = read_tensors(tmp_path / "x.safetensors")
    assert (found.tensors, found.entries) == ({}, {})


def test_parts_that_are_not_whole(generator: Tiny, tmp_path: Path) -> None:
    """Of the right kind and generator, and yet not what they say."""
    path = tmp_path / "x.safetensors"
    header = {"kind": ENCODER, "generator_sha256": generator.sha256, "facts": {}}
    with pytest.raises(UserError, match=r"x.safetensors: not whole encoder \(KeyError"):
        load_encoder(written(path, header), generator)
    with pytest.raises(UserError, match=r"x.safetensors: not whole encoder \(RuntimeError"):
        names = [*(f"stages.{i}.0.conv1.weight" for i in range(4)), "inner.weight", "rows"]
        load_encoder(written(path, header, **{name: torch.zeros(2, 2) for name in names}), generator)
    header |= {"kind": DIRECTIONS, "facts": {"deviations": {}, "space": "w"}}
    with pytest.raises(UserError, match=r"x.safetensors: not whole directions"):
        load_directions(written(path, header, **{"direction.age": torch.zeros(7)}), generator)
    for facts in (
        {},
        {"deviations": [], "space": "w"},
        {"deviations": {"age": "x"}, "space": "p"},
        {"deviations": {}, "space": []},
    ):
        with pytest.raises(UserError, match=r"x.safetensors: not whole directions"):
            load_directions(written(path, header | {"facts": facts}, **{"direction.age": torch.zeros(16)}), generator)
    header |= {"kind": REGIONS_FILE}
    with pytest.raises(UserError, match=r"x.safetensors: not whole regions"):
        load_regions(written(path, header, **{"choice.eyes": torch.zeros(3), "masks": torch.zeros(6, 4, 4)}), generator)
