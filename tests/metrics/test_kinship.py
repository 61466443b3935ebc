"""The layouts of kinship sets, with tiny pictures of nobody."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from gan_inversion.errors import UserError
from gan_inversion.metrics.kinship_sets import LAYOUTS, KinPhotos, find_families

# A mother 1, her daughter 2 and son 4, their father 3, and the daughter's husband 5 and son 6.
TABLE = """MID,1,2,3,4,5,6,Name,Gender
1,0,4,5,4,0,6,Ann,Female
2,1,0,1,2,5,4,"Bea, the elder",f
3,5,4,0,4,0,6,Carl,Male
4,1,2,1,0,0,0,Dan,m
5,0,5,0,0,0,4,Ed,m
6,3,1,3,0,1,0,Flo,f
,,,,,,,,
"""


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "grey").save(folder / name)


def fiw(folder: Path, photos: Mapping[int, Sequence[int]], table: str = TABLE, family: str = "F0001") -> Path:
    """`photos`: the numbers of the photographs in which each member was found."""
    for member, numbers in photos.items():
        draw(folder / family / f"MID{member}", *[f"P{n:05d}_face{member}.jpg" for n in numbers])
    (folder / family).mkdir(parents=True, exist_ok=True)
    (folder / family / "mid.csv").write_bytes(table.encode("latin-1"))
    return folder


def names(kin: KinPhotos) -> list[str]:
    """MID1/P00001 of father, mother and children."""
    paths = [p for p in (kin.father, kin.mother, *kin.children) if p]
    return [f"{p.parent.name}/{p.stem.split('_')[0]}" for p in paths]


def test_triplets_have_any_number_of_children(tmp_path: Path) -> None:
    draw(tmp_path, "b/father.jpg", "b/mother.PNG", "b/child2.png", "b/Child1.png", "b/._child3.png")
    draw(tmp_path, "a/mother.png", "a/FATHER.png", "notes/plan.png", "loose.png", ".hidden/father.png")
    (tmp_path / "b" / "child1.png.json").write_text("{}")
    a, b = find_families(tmp_path, "triplets")
    assert (a.family, a.children, a.same_photo) == ("a", (), False)
    assert a.father == tmp_path / "a/FATHER.png"
    assert b == KinPhotos("b", tmp_path / "b/father.jpg", tmp_path / "b/mother.PNG",
                          (tmp_path / "b/Child1.png", tmp_path / "b/child2.png"))  # fmt: skip


@pytest.mark.parametrize("photos", [("father.png", "child.png"), ("father.png", "father.jpg", "mother.png")])
def test_a_triplet_needs_one_of_each_parent(tmp_path: Path, photos: tuple[str, ...]) -> None:
    draw(tmp_path / "smith", *photos)
    with pytest.raises(UserError, match=r"smith: one father.\* and one mother.\* are needed"):
        find_families(tmp_path, "triplets")


@pytest.mark.parametrize("above", ["", "FIDs"])
def test_fiw_has_a_couple_in_each_generation(tmp_path: Path, above: str) -> None:
    fiw(tmp_path / above, {m: [10 + m, 20 + m] for m in range(1, 7)})
    old, young = find_families(tmp_path, "fiw")
    assert names(old) == ["MID3/P00013", "MID1/P00011", "MID2/P00012", "MID4/P00014"]
    assert names(young) == ["MID5/P00015", "MID2/P00012", "MID6/P00016"]
    assert {old.family, young.family} == {"F0001"}
    assert not old.same_photo and not young.same_photo


def test_fiw_takes_faces_from_different_photographs(tmp_path: Path) -> None:
    """All four were in photograph 1; only one assignment of the others leaves everyone a photograph of their own."""
    fiw(tmp_path, {3: [1, 2], 1: [1, 2, 3], 2: [1, 3, 4], 4: [1]})
    (kin,) = find_families(tmp_path, "fiw")
    assert names(kin) == ["MID3/P00002", "MID1/P00003", "MID2/P00004", "MID4/P00001"]
    assert not kin.same_photo


def test_fiw_children_who_cannot_are_separate_and_marked(tmp_path: Path) -> None:
    """The son's one photograph is his father's only one; the daughter is not spoiled by that."""
    fiw(tmp_path, {3: [1], 1: [2, 1], 2: [3], 4: [1]})
    apart, shared = find_families(tmp_path, "fiw")
    assert (names(apart), apart.same_photo) == (["MID3/P00001", "MID1/P00002", "MID2/P00003"], False)
    assert (names(shared), shared.same_photo) == (["MID3/P00001", "MID1/P00002", "MID4/P00001"], True)


def test_fiw_siblings_in_one_photograph_are_two_good_triplets(tmp_path: Path) -> None:
    fiw(tmp_path, {3: [1], 1: [2], 2: [3], 4: [3]})
    found = find_families(tmp_path, "fiw")
    assert [names(kin)[2:] for kin in found] == [["MID2/P00003"], ["MID4/P00003"]]
    assert not any(kin.same_photo for kin in found)


def test_fiw_one_photograph_of_everybody(tmp_path: Path) -> None:
    fiw(tmp_path, {3: [1], 1: [1], 2: [1], 4: [1]})
    found = find_families(tmp_path, "fiw")
    assert len(found) == 2 and all(kin.same_photo for kin in found)


def test_fiw_members_without_photographs_are_passed_over(tmp_path: Path) -> None:
    fiw(tmp_path, {1: [1], 2: [2], 3: [3], 5: [5]})
    (kin,) = find_families(tmp_path, "fiw")
    assert names(kin) == ["MID3/P00003", "MID1/P00001", "MID2/P00002"]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["1,0,0,4,A,m", "2,0,0,4,B,f", "3,0,0,0,C,f"], 1),  # only the parents' half of the table
        (["1,0,,,A,m", "2,,0,,B,f", "3,1,1,0,C,f"], 1),  # only the child's
        (["1,0,5,1,A,m", "2,5,0,1,B,f", "3,1,1,0,C,f"], 0),  # each other's child: a contradiction
        (["1,0,5,4,A,f", "2,5,0,4,B,f", "3,1,1,0,C,f"], 0),  # two mothers: none to tell apart by gender
        (["1,0,2,4,A,m", "2,2,0,4,B,f", "3,1,1,0,C,f"], 0),  # brother and sister: a transposed table
        (["1,0,0,4,A,m", "2,0,0,0,B,f", "3,1,0,0,C,f"], 0),  # no mother
    ],
)
def test_fiw_codes(tmp_path: Path, rows: list[str], found: int) -> None:
    good = fiw(tmp_path, {m: [m] for m in range(1, 7)}, family="F0002")
    fiw(good, {m: [m] for m in (1, 2, 3)}, "0,1,2,3,Name,Gender\n" + "\n".join(rows))
    assert sum(kin.family == "F0001" for kin in find_families(tmp_path, "fiw")) == found


@pytest.mark.parametrize("table", ["", "a,b\n1,2\n", "MID,1,Name,Gender\n1,x,A,m\n", "MID,1,Name,Gender\n1,0\n"])
def test_an_unreadable_table_is_named(tmp_path: Path, table: str) -> None:
    fiw(tmp_path, {1: [1]}, table)
    with pytest.raises(UserError, match=r"F0001/mid.csv: not a relation matrix .* Copy it"):
        find_families(tmp_path, "fiw")


def test_fiw_marks_a_triplet_only_if_it_must(tmp_path: Path) -> None:
    """Against trying all combinations, on every way to find three people in up to three photographs."""
    subsets = [s for n in (1, 2, 3) for s in itertools.combinations((1, 2, 3), n)]
    for i, photos in enumerate(itertools.product(subsets, repeat=3)):
        fiw(tmp_path, dict(zip((3, 1, 2), photos, strict=True)), family=f"F{i:04d}")
    found = find_families(tmp_path, "fiw")
    assert len(found) == 7**3
    for kin, photos in zip(found, itertools.product(subsets, repeat=3), strict=True):
        possible = any(len(set(chosen)) == 3 for chosen in itertools.product(*photos))
        assert kin.same_photo is not possible
        assert kin.same_photo or len({name.split("/")[1] for name in names(kin)}) == 3


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    fiw(tmp_path, {1: [1], 2: [2], 3: [3]}, TABLE.replace("Ann", "André"))
    assert len(find_families(tmp_path, "fiw")) == 1


@pytest.mark.parametrize("above", ["", "TSKinFace_cropped"])
def test_tskinface(tmp_path: Path, above: str) -> None:
    home = tmp_path / above
    draw(home, "FMS/FMS-1-F.jpg", "FMS/FMS-1-M.jpg", "FMS/FMS-1-S.jpg", "FMS/FMS-2-F.jpg", "FMS/FMS-2-S.jpg")
    draw(home, *[f"FMSD/FMSD-7-{who}.jpg" for who in "DFMS"], "FMSD/FMSD-7-X.jpg")
    one, two = find_families(tmp_path, "tskinface")
    assert one == KinPhotos(
        "FMS-1", *(home / f"FMS/FMS-1-{who}.jpg" for who in "FM"), (home / "FMS/FMS-1-S.jpg",), True
    )
    assert two.family == "FMSD-7" and two.same_photo
    assert [child.name for child in two.children] == ["FMSD-7-S.jpg", "FMSD-7-D.jpg"]


@pytest.mark.parametrize("above", [("KinFaceW-I", False), ("KinFaceW-II", True), ("kin", True)])
def test_kinfacew_has_pairs(tmp_path: Path, above: tuple[str, bool]) -> None:
    home = tmp_path / above[0] / "images"
    draw(home, "father-dau/fd_001_1.jpg", "father-dau/fd_001_2.jpg", "father-dau/fd_002_1.jpg")
    draw(home, "mother-son/ms_001_1.jpg", "mother-son/ms_001_2.jpg")
    found = find_families(tmp_path / above[0], "kinfacew")
    assert found == find_families(home, "kinfacew")
    assert found == [
        KinPhotos("fd_001", home / "father-dau/fd_001_1.jpg", None, (home / "father-dau/fd_001_2.jpg",), above[1]),
        KinPhotos("ms_001", None, home / "mother-son/ms_001_1.jpg", (home / "mother-son/ms_001_2.jpg",), above[1]),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_missing_is_named(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder. Check the path"):
        find_families(tmp_path / "nowhere", layout)
    with pytest.raises(UserError, match=rf"no families found. The layout {layout} is FOLDER/"):
        find_families(tmp_path, layout)


def test_unknown_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown lfw. Known: triplets, fiw, tskinface, kinfacew"):
        find_families(tmp_path, "lfw")
