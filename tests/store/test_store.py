"""The store: atomic, checked, and never in possession of half a result."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.latents import load_latents, save_latents, to_json
from gan_inversion.storage import Folder
from gan_inversion.store.store import Record, Store
from tests.conftest import drawn, make_inverter

KEY = "ab" + "0" * 62


@pytest.fixture
def record(generator: Tiny) -> Record:
    (inversion,) = make_inverter(generator)([drawn(generator, 1)], [0])
    return Record(inversion, {"mse": 0.25}, 3.0)


def test_what_goes_in_comes_out(tmp_path: Path, record: Record) -> None:
    store = Store(str(tmp_path))
    assert store.get(KEY) is None
    store.put(KEY, record)
    found = store.get(KEY)
    assert found is not None
    assert torch.equal(found.inversion.ws, record.inversion.ws)
    ours, theirs = (dataclasses.asdict(r.inversion) for r in (record, found))
    assert to_json({k: v for k, v in ours.items() if k != "ws"}) == to_json(
        {k: v for k, v in theirs.items() if k != "ws"}
    )
    assert found.metrics == record.metrics
    assert found.seconds == 3.0


def test_no_timings_in_the_result(tmp_path: Path, record: Record) -> None:
    """Two equal results are equal files; seconds lie apart."""
    for folder, seconds in (("a", 1.0), ("b", 2.0)):
        Store(str(tmp_path / folder)).put(KEY, dataclasses.replace(record, seconds=seconds))
    inside = "inversions/ab"
    names = sorted(path.name for path in (tmp_path / "a" / inside).iterdir())
    assert names == [f"{KEY}.json", f"{KEY}.safetensors", f"{KEY}.timings.json"]
    a, b = tmp_path / "a" / inside, tmp_path / "b" / inside
    same = {name: (a / name).read_bytes() == (b / name).read_bytes() for name in names}
    assert same == {names[0]: True, names[1]: True, names[2]: False}


@pytest.mark.parametrize("damage", ["flip", "truncate", "json", "number"])
def test_damage_is_found_and_set_aside(
    tmp_path: Path, record: Record, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(str(tmp_path))
    store.put(KEY, record)
    path = tmp_path / "inversions/ab" / (KEY + (".json" if damage in ("json", "number") else ".safetensors"))
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-5] ^= 1
    elif damage == "number":  # one figure of a metric: still good JSON
        data = data.replace(b'"mse": 0.25', b'"mse": 0.24')
    else:
        data = data[: len(data) // 2]
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert store.get(KEY) is None
    assert "is damaged" in caplog.text
    assert path.with_name(path.name + ".damaged").exists()
    store.put(KEY, record)
    assert store.get(KEY) is not None


@pytest.mark.parametrize("damage", ["data", "marker", "both"])
@pytest.mark.parametrize("place", ["local", "far"])
def test_what_another_process_has_just_made_again_stays(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch, damage: str, place: str
) -> None:
    """Whichever moment of setting the damaged entry aside the other writer chooses."""
    real = {name: getattr(Folder, name) for name in ("read", "write", "remove")}
    for moment in itertools.count():
        store = Store(str(tmp_path / f"{moment}") if place == "local" else f"memory://aside_{damage}_{moment}")
        folder, base, done = Folder(store.path or ""), f"inversions/ab/{KEY}", []

        def at(name: str, moment: int = moment, store: Store = store, done: list[str] = done) -> Callable[..., Any]:
            def call(self: Folder, *arguments: Any) -> Any:
                done.append(name)
                if len(done) == moment + 1:
                    with monkeypatch.context() as calm:
                        for other, function in real.items():
                            calm.setattr(Folder, other, function)
                        store.put(KEY, record)
                return real[name](self, *arguments)

            return call

        store.put(KEY, record)
        for suffix in {"data": [".safetensors"], "marker": [".json"], "both": [".safetensors", ".json"]}[damage]:
            folder.write(base + suffix, folder.read(base + suffix)[:-5])
        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(Folder, name, at(name))
            found = store.get(KEY)
        if len(done) <= moment:  # nobody came in between
            assert found is None
            assert folder.size(f"{base}.json.damaged") is not None
            break
        assert store.get(KEY) is not None, (moment, done)
    assert moment > 3


def test_numbers_that_are_none_are_no_result(tmp_path: Path, record: Record) -> None:
    """Even with the right checksum: another program may have written them."""
    store = Store(str(tmp_path))
    store.put(
        KEY, dataclasses.replace(record, inversion=dataclasses.replace(record.inversion, ws=record.inversion.ws / 0))
    )
    assert store.get(KEY) is None
    assert list((tmp_path / "inversions/ab").glob("*.damaged"))


def test_without_its_json_an_entry_is_not_there(tmp_path: Path, record: Record) -> None:
    """The JSON is written last: a process killed before that has stored nothing."""
    store = Store(str(tmp_path))
    store.put(KEY, record)
    (tmp_path / "inversions/ab" / f"{KEY}.json").unlink()
    assert store.get(KEY) is None


def test_interrupted_results_and_no_store(tmp_path: Path, record: Record) -> None:
    halted = dataclasses.replace(record, inversion=dataclasses.replace(record.inversion, stopped="interrupted"))
    Store(str(tmp_path)).put(KEY, halted)
    Store(None).put(KEY, record)
    assert list(tmp_path.iterdir()) == []
    assert Store(None).get(KEY) is None


def test_latents_by_name(tmp_path: Path) -> None:
    path = tmp_path / "latents.safetensors"
    save_latents(path, {"father": Latents(torch.ones(2, 2)), "child_00": Latents(torch.zeros(2, 2))}, "g" * 64)
    found = load_latents(path, "father")
    assert found == Inversion(found.ws, "g" * 64)
    save_latents(tmp_path / "half.safetensors", {"ws": Latents(torch.ones(2, 2))}, "g" * 64, interrupted=True)
    assert not load_latents(tmp_path / "half.safetensors", "father").finished
    assert found.ws.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(UserError, match="no latents called mother; it has child_00, father"):
        load_latents(path, "mother")
    with pytest.raises(UserError, match="nothing: not a file of stored latents"):
        load_latents("nothing", "father")
