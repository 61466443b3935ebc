"""Manifests: what they may say, and that all that is wrong is told at once, before any work."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import time
import tracemalloc
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gan_inversion.batch.couples import Couple, Manifest
from gan_inversion.batch.manifest import read_manifest
from gan_inversion.batch.manifest_cells import value_of
from gan_inversion.errors import StorageError, UserError
from gan_inversion.storage import Folder

HEAD = "id,father,mother"


def nothing(settings: Mapping[str, Any]) -> None:
    """All settings are fine."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two photographs."""
    (tmp_path / "photos").mkdir()
    for name in ("dad.jpg", "mum.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def memory() -> str:
    """A folder on a storage that is not this machine's."""
    return f"memory://{uuid.uuid4().hex}"


def couples(place: Path, text: str, check: Callable[[Mapping[str, Any]], None] = nothing) -> Sequence[Couple]:
    path = place / "couples.csv"
    path.write_text(text)
    return read_manifest(str(path), check).items


def problems(url: str | Path, check: Callable[[Mapping[str, Any]], None] = nothing) -> list[str]:
    with pytest.raises(UserError) as caught:
        read_manifest(str(url), check)
    first, *rest = str(caught.value).split("\n")
    count = "1 problem" if len(rest) == 1 else f"{len(rest)} problems"
    assert first == f"{url}: {count}, nothing was done:"
    return rest


def problems_of(place: Path, text: str, check: Callable[[Mapping[str, Any]], None] = nothing) -> list[str]:
    (place / "couples.csv").write_text(text)
    return problems(place / "couples.csv", check)


def row(more: str = "", number: int = 1) -> str:
    return f"{number},photos/dad.jpg,photos/mum.jpg{more}\n"


# ------------------------------------------------------------------ what is read


def test_a_table(place: Path) -> None:
    text = f"{HEAD},age,seed,child.ages,inherit.nose,weight,note_source,note_n\n"
    text += (
        '0007,photos/dad.jpg,photos/mum.jpg,8,3,"[2,8,16]",mother,0.3,archive A,007\nb,photos/dad.jpg,photos/dad.jpg'
    )
    settings = (
        ("blend.weight", 0.3), ("child.age", 8), ("child.ages", (2, 8, 16)), ("inherit.nose", "mother"), ("seed", 3)
    )  # fmt: skip
    notes = (("note_source", "archive A"), ("note_n", "007"))
    assert couples(place, text) == [
        Couple("0007", "photos/dad.jpg", "photos/mum.jpg", settings, notes),
        Couple("b", "photos/dad.jpg", "photos/dad.jpg", (), ()),
    ]


def test_the_same_in_every_format(place: Path) -> None:
    rows = [
        {"id": "7", "father": "photos/dad.jpg", "mother": "photos/mum.jpg", "seed": 3, "diversity": 0.5, "age": 8},
        {"id": "8", "father": "photos/mum.jpg", "mother": "photos/dad.jpg", "siblings": 2, "note_ok": "true"},
    ]
    with open(place / "c.csv", "w", newline="") as file:
        names = ["id", "father", "mother", "seed", "diversity", "age", "siblings", "note_ok"]
        writer = csv.DictWriter(file, names, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    (place / "c.jsonl").write_text("".join(json.dumps({**r, "id": int(str(r["id"]))}) + "\n" for r in rows))
    pq.write_table(pa.Table.from_pylist([{**dict.fromkeys(names), **r} for r in rows]), place / "c.parquet")
    found = [read_manifest(str(place / f"c.{suffix}"), nothing).items for suffix in ("csv", "jsonl", "parquet")]
    assert found[0] == found[1] == found[2]
    assert found[0][0].settings == (("child.age", 8), ("diversity", 0.5), ("seed", 3))
    assert found[0][1].notes == (("note_ok", "true"),)


def test_a_folder(place: Path) -> None:
    for name in ("b/father.JPG", "b/mother.png", "b/notes.txt", "b/._father.jpg", "a/Father.jpeg", "a/mother.webp",
                 "a/deeper/father.jpg", ".hidden/x", "README.txt"):  # fmt: skip
        path = place / "families" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    manifest = read_manifest(f"{place}/families", nothing)
    assert manifest.items == [
        Couple("a", "a/Father.jpeg", "a/mother.webp", (), ()),
        Couple("b", "b/father.JPG", "b/mother.png", (), ()),
    ]
    folder, name = manifest.photo("b/father.JPG")
    assert folder.read(name) == b"x"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8), ("-0.5", -0.5), ("1.0", 1.0), ("1.5e+3", 1500.0), ("true", True), ("no", False), ("null", None),
        ("~", None), ("female", "female"), ("[2, 8.5, null]", (2, 8.5, None)), ("'8'", "8"), ("007", 7),
        ("2024-01-31", "2024-01-31"), ("2024-13-45", "2024-13-45"), ("[2,8", "[2,8"), ("{a: 1}", "{a: 1}"), ("a: 1", "a: 1"),
        ("#3", "#3"), ("a #3", "a #3"), ("&a b", "&a b"), ("!!python/name:os.system", "!!python/name:os.system"),
        ("@x", "@x"), ("- a", "- a"), ("9" * 5000, "9" * 5000), ("[2024-01-31]", ("2024-01-31",)),
    ],
)  # fmt: skip
def test_cells_are_read_as_yaml_reads_scalars(place: Path, text: str, value: Any) -> None:
    (couple,) = couples(place, f'{HEAD},child.age\n1,photos/dad.jpg,photos/mum.jpg,"{text}"\n')
    assert repr(couple.settings) == repr((("child.age", value),))


@given(
    st.one_of(
        st.integers(),
        st.floats(-1e9, 1e9),
        st.decimals(-100, 100, places=3),
        st.from_regex(r"-?[0-9][0-9.]{0,8}", fullmatch=True),
    )
)
def test_the_short_way_for_numbers_is_yaml_too(number: Any) -> None:
    text = str(number).strip()
    expected = yaml.safe_load(text)
    if re.match("-?0[0-9]", text):
        expected = None  # eight to YAML, ten to a person: test_numbers_as_people_write_them
    if type(expected) in (int, float):
        assert repr(value_of(text)) == repr(expected)


def test_where_photographs_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place)
    (place / "lists").mkdir()
    paths = ["../photos/dad.jpg", f"{place}/photos/dad.jpg", f"file://{place}/photos/dad.jpg", "~/photos/dad.jpg"]
    text = "".join(f"{i},{path},{path}\n" for i, path in enumerate(paths))
    (place / "lists" / "c.csv").write_text(f"{HEAD}\n{text}")
    manifest = read_manifest("lists/c.csv", nothing)
    monkeypatch.chdir("/")  # as a worker might be
    for path in paths:
        folder, name = manifest.photo(path)
        assert folder.read(name) == b"x"


def test_everything_on_far_storage(memory: str) -> None:
    far = Folder(memory)
    for name in ("lists/photos/a.jpg", "photos/b.jpg", *(f"many/{i}/c.jpg" for i in range(40))):
        far.write(name, b"x")
    paths = ["photos/a.jpg", "../photos/b.jpg", f"{memory}/photos/b.jpg", *(f"../many/{i}/c.jpg" for i in range(40))]
    rows = [{"id": i, "father": path, "mother": path} for i, path in enumerate(paths)]
    far.write("lists/c.jsonl", "\n".join(map(json.dumps, rows)).encode())
    manifest = read_manifest(f"{memory}/lists/c.jsonl", nothing)
    assert len(manifest.items) == 43
    for path in paths:
        folder, name = manifest.photo(path)
        assert folder.read(name) == b"x"
    rows += [
        {"id": "x", "father": "photos/no.jpg", "mother": "../many/41/c.jpg"},
        {"id": "y", "father": "photos", "mother": "nowhere://bucket/a.jpg"},
    ]
    far.write("lists/c.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert problems(f"{memory}/lists/c.jsonl") == [
        "row 44 (id x): father photos/no.jpg: no such file.",
        "row 44 (id x): mother ../many/41/c.jpg: no such file.",
        "row 45 (id y): father photos: no such file.",
        "row 45 (id y): mother nowhere://bucket/a.jpg: nowhere://bucket: nowhere:// is not opened. Use a path, file://, "
        "s3://, gs:// or az://.",
    ]


def test_far_photographs_of_a_manifest_here(place: Path, memory: str) -> None:
    Folder(memory).write("a.jpg", b"x")
    (couple,) = couples(place, f"{HEAD}\n1,{memory}/a.jpg,photos/mum.jpg\n")
    folder, name = Manifest((), Folder(str(place))).photo(couple.father)
    assert (folder.read(name), name) == (b"x", "a.jpg")
    far = "row 2 (id 1): father memory://nowhere/a.jpg: no such file."
    assert problems_of(place, f"{HEAD}\n1,memory://nowhere/a.jpg,photos/mum.jpg\n") == [far]


def test_at_the_root_of_a_storage() -> None:
    name = uuid.uuid4().hex
    root = Folder("memory://")
    root.write(f"{name}.csv", f"{HEAD}\n1,{name}.jpg,{name}.jpg\n".encode())
    with pytest.raises(UserError, match=rf"father {name}.jpg: no such file"):
        read_manifest(f"memory://{name}.csv", nothing)
    root.write(f"{name}.jpg", b"x")
    assert len(read_manifest(f"memory://{name}.csv", nothing).items) == 1
    fsspec.filesystem("memory").rm([f"/{name}.csv", f"/{name}.jpg"])


def test_a_folder_on_far_storage(memory: str) -> None:
    for name in ("a/father.jpg", "a/mother.jpg", "a/x/father.jpg", "b/mother.jpg", ".c/father.jpg", "d.txt"):
        Folder(memory).write(name, b"x")
    (problem,) = problems(memory)
    assert problem.startswith("b: no father.* in it (.jpg, ")
    Folder(memory).write("b/father.png", b"x")
    ids = [(couple.id, couple.father) for couple in read_manifest(f"{memory}/", nothing).items]
    assert ids == [("a", "a/father.jpg"), ("b", "b/father.png")]


def test_equal_settings_are_checked_once_and_shared(place: Path) -> None:
    seen: list[dict[str, Any]] = []
    lines = "".join(f'{{"id": {i}, "father": "photos/dad.jpg", "mother": "photos/mum.jpg", "seed": 1, "weight": {w}}}\n'
                    for i, w in enumerate(("1", "1.0", "true", "1", "true")))  # fmt: skip
    (place / "c.jsonl").write_text(lines)
    found = read_manifest(str(place / "c.jsonl"), lambda settings: seen.append(dict(settings))).items
    assert repr(seen) == repr([{"blend.weight": w, "seed": 1} for w in (1, 1.0, True)])
    assert [repr(couple.settings[0][1]) for couple in found] == ["1", "1.0", "True", "1", "True"]
    assert found[0].settings is found[3].settings
    assert len({id(couple.father) for couple in found}) == 1
    assert len({hash(couple) for couple in found}) == 5


# ------------------------------------------------------------------ what is refused


def test_all_that_is_wrong_is_told_at_once(place: Path) -> None:
    def check(settings: Mapping[str, Any]) -> None:
        if settings.get("child.age") == -1:
            raise UserError("child.age=-1: must be at least 0.\nOr null.")

    text = f"{HEAD},age,seed,siblings,diversity,father_face,agee\n"
    text += row(",8,0,1,0,0")
    text += "a1,photos/no.jpg,photos\\mum.jpg,-1\n"
    text += "A1,photos,photos/no.jpg,-1,x,0,-1,1.5,1\n"
    text += ",,photos/mum.jpg,-1\n"
    text += "con.txt,photos/dad.jpg,,,true\n"
    allowed = "use 1 to 100 letters, digits, . _ -, beginning with no . or -, ending with no dot."
    assert problems_of(place, text, check) == [
        "column agee: unknown. Did you mean age? If it is a note, call it note_agee.",
        "row 3 (id a1): child.age=-1: must be at least 0. Or null.",
        "row 3 (id a1): father photos/no.jpg: no such file.",
        "row 3 (id a1): mother photos\\mum.jpg: no such file. Write / between folders.",
        "row 4 (id A1): id A1: row 3 has it already; upper and lower case are one to the disks of many computers.",
        "row 4 (id A1): seed 'x': must be a whole number, at least 0.",
        "row 4 (id A1): siblings 0: must be a whole number, at least 1.",
        "row 4 (id A1): diversity -1: must be a number, at least 0.",
        "row 4 (id A1): father_face 1.5: must be a whole number, at least 0.",
        "row 4 (id A1): child.age=-1: must be at least 0. Or null.",
        "row 4 (id A1): father photos: not a file.",
        "row 4 (id A1): mother photos/no.jpg: no such file.",
        "row 5: child.age=-1: must be at least 0. Or null.",
        "row 5: id is missing.",
        "row 5: father is missing.",
        f"row 6 (id con.txt): id 'con.txt': a name that Windows reserves. It becomes a folder's name: {allowed}",
        "row 6 (id con.txt): seed True: must be a whole number, at least 0.",
        "row 6 (id con.txt): mother is missing.",
    ]


@pytest.mark.parametrize("name", ["a b", "../a", ".a", "-a", "a.", "ä", "x" * 101, "NUL", "com1.x", "a/b"])
def test_ids_that_are_no_folder_names(place: Path, name: str) -> None:
    (problem,) = problems_of(place, f"{HEAD}\n{row()}{name},photos/dad.jpg,photos/mum.jpg\n")
    assert f"id {name!r}: " in problem
    assert "It becomes a folder's name: use 1 to 100 letters" in problem


@pytest.mark.parametrize("name", ["0007", "_", "a.b-c_", "x" * 100, "console", "com10", "a-"])
def test_ids_that_are_fine(place: Path, name: str) -> None:
    assert couples(place, f"{HEAD}\n{name},photos/dad.jpg,photos/mum.jpg\n")[0].id == name


def test_values_of_other_kinds(place: Path) -> None:
    ours = {"father": "photos/dad.jpg", "mother": "photos/mum.jpg"}
    rows: list[dict[str, Any]] = [
        {"id": 7.5, **ours},
        {"id": True, **ours},
        {"id": 1, **ours, "father": 5, "mother": ""},
        {"id": 2, **ours, "seed": 2**63},
        {"id": 3, **ours, "seed": "3"},
        {"id": 4, **ours, "diversity": True},
        {"id": 5, **ours, "father": "a\0b"},
        {"id": 6, **ours, "father": "a\ud800"},
    ]
    (place / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert problems(place / "c.jsonl") == [
        "row 1 (id 7.5): id 7.5: must be text or a whole number.",
        "row 2 (id True): id True: must be text or a whole number.",
        "row 3 (id 1): father 5: must be the path of a photograph, as text.",
        "row 3 (id 1): mother is missing.",
        "row 4 (id 2): seed 9223372036854775808: must be a whole number, below 2**63.",
        "row 5 (id 3): seed '3': must be a whole number, at least 0.",
        "row 6 (id 4): diversity True: must be a number, at least 0.",
        "row 7 (id 5): father a\0b: no such file.",
        "row 8 (id 6): father a\ud800: no such file.",
    ]


def test_whole_numbers_that_a_data_frame_made_floats(place: Path) -> None:
    ours = {"father": "photos/dad.jpg", "mother": "photos/mum.jpg"}
    pq.write_table(pa.Table.from_pylist([{"id": 1, **ours, "seed": 3.0}, {"id": 2, **ours}]), place / "c.parquet")
    first, second = read_manifest(str(place / "c.parquet"), nothing).items
    assert repr(first.settings) == repr((("seed", 3),))
    assert (second.id, second.settings) == ("2", ())


def test_columns_that_are_not_there_or_there_twice(place: Path) -> None:
    known = (
        " Known: age, blend.*, child.*, diversity, father, father_face, gender, id, inherit.*, mother, mother_face, "
        "note_*, seed, siblings, weight."
    )
    text = f"id,Father,mother,age,child.age,blend._target_,child.\n{row(',8,9,os.system,1')}"
    assert problems_of(place, text) == [
        "column Father: unknown. Did you mean father? If it is a note, call it note_Father.",
        f"column blend._target_: unknown.{known} If it is a note, call it note_blend._target_.",
        "column child.: unknown. Did you mean child.*? If it is a note, call it note_child..",
        "column father: there is none, or it is empty.",
        "columns age and child.age are the same setting. Keep one of them.",
    ]


def test_at_most_a_hundred_are_listed(place: Path) -> None:
    (place / "c.csv").write_text(f"{HEAD}\n" + "".join(f"{i},photos/no{i}.jpg,photos/mum.jpg\n" for i in range(123)))
    with pytest.raises(UserError) as caught:
        read_manifest(str(place / "c.csv"), nothing)
    lines = str(caught.value).split("\n")
    assert len(lines) == 102
    assert lines[0].endswith("c.csv: 123 problems, nothing was done:")
    assert lines[1] == "row 2 (id 0): father photos/no0.jpg: no such file."
    assert lines[-1] == "... and 23 more"


def test_a_storage_that_fails_is_nobodys_row(place: Path) -> None:
    def check(settings: Mapping[str, Any]) -> None:
        raise StorageError("the disk is gone")

    with pytest.raises(StorageError, match="the disk is gone"):
        couples(place, f"{HEAD}\n{row()}", check)


def test_folders_with_none_or_several(place: Path) -> None:
    for name in ("a/father.jpg", "a/father.png", "b/mother.jpg", "a b/father.jpg", "a b/mother.jpg", "C/x", "c/x"):
        path = place / "families" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = problems(place / "families")
    starts = ["C: no father.* in it (.jpg, ", "C: no mother.* in it", "a: several pictures of the father: father.jpg, "
              "father.png. Keep one.", "a: no mother.* in it", "a b: id 'a b': not allowed. It becomes a folder's name",
              "b: no father.* in it", "c: id c: folder C has it already", "c: no father", "c: no mother"]  # fmt: skip
    assert [line.startswith(start) for line, start in zip(found, starts, strict=True)] == [True] * 9, found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.csv", r"nothing.csv: no such file\."),
        ("nothing", r"nothing: no such file or folder\. Give a folder, or a file of these: \.csv, \.jsonl"),
        ("couples.xlsx", r"couples.xlsx: not a manifest\. Give a folder, or a file of these"),
        ("empty.csv", r"empty.csv: no couples in it\. It needs a row each"),
        ("empty", "empty: no couples in it"),
        ("damaged.csv", r"damaged.csv: 1 problem, nothing was done:\nrow 2: 4 cells, the header has 3"),
    ],
)
def test_no_manifest(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "couples.xlsx").write_bytes(b"PK")
    (tmp_path / "empty.csv").write_text(f"{HEAD}\n")
    (tmp_path / "damaged.csv").write_text(f"{HEAD}\n1,a,b,c\n")
    with pytest.raises(UserError, match=message):
        read_manifest(str(tmp_path / name), nothing)


# ------------------------------------------------------------------ how long it takes

N = 100_000


def write_couples(place: Path, rows: int, photos: int) -> str:
    """A manifest in which no two rows have the same settings; its photographs are made too."""
    files = [f"photos/{i % 200:03}/{i:06}.jpg" for i in range(photos)]
    for folder in {(place / file).parent for file in files}:
        folder.mkdir(parents=True)
    for file in files:
        os.close(os.open(place / file, os.O_CREAT))
    draw = random.Random(0)
    lines = [f"{HEAD},seed,age,gender,weight,note_source"]
    for i in range(rows):
        parents = f"{files[2 * i % photos]},{files[(2 * i + 1) % photos]}"
        lines.append(f"{i:06},{parents},{i},{draw.randrange(80)},female,{draw.random():.6f},archive {i}")
    (place / "couples.csv").write_text("\n".join(lines))
    return f"{place}/couples.csv"


def test_a_couple_takes_less_than_a_kilobyte(tmp_path: Path) -> None:
    url = write_couples(tmp_path, N // 10, 10)
    tracemalloc.start()
    manifest = read_manifest(url, nothing)
    kept, most = (size / len(manifest.items) for size in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    assert kept < 1000
    assert most < 2500  # while it is read


@pytest.mark.processes
@pytest.mark.parametrize("photos", [1, 1_000, 2 * N])
def test_a_hundred_thousand_couples_in_ten_seconds(
    tmp_path: Path, photos: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write_couples(tmp_path, N, photos)
    begin = time.perf_counter()
    manifest = read_manifest(url, nothing)
    seconds = time.perf_counter() - begin
    shutil.rmtree(tmp_path / "photos")
    assert len(manifest.items) == N
    with capsys.disabled():
        print(f"\n{N:,} couples of {photos:,} photographs: checked in {seconds:.1f} s")
    assert seconds < 10
