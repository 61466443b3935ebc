"""Real families on disk: the folder layouts in which kinship sets are published, and ours. Only names and tables are read.

Faces of relatives cropped from one photograph resemble each other by its light and its camera: such families are marked.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import UserError
from ..image import SUFFIXES
from ..storage import expanded, read_file

CHILD, SIBLING, PARENT = 1, 2, 4  # FIW_RIDs.csv; 3 grandchild, 5 spouse, 6 grandparent, 7 and 8 great-, 9 to be decided


@dataclass(frozen=True)
class KinPhotos:
    """A couple and its children, one photograph each.

    Sets of pairs know one parent only, and the other is None: they give the similarity of real parents and children, and
    nothing that needs a couple. `family` is the unit of splits and of resampling, and no unique name: a family of three
    generations has several couples.
    """

    family: str
    father: Path | None
    mother: Path | None
    children: tuple[Path, ...]
    same_photo: bool = False  # relatives were cropped from one photograph, or nothing says that they were not

    @property
    def photos(self) -> list[Path]:
        """All of them, also what cannot be read: whoever loads it says why, instead of a relative who is missing."""
        return [path for path in (self.father, self.mother, *self.children) if path]


def find_families(folder: str | Path, layout: str) -> list[KinPhotos]:
    """The families in `folder`, sorted by family; `layout`: triplets, fiw, tskinface or kinfacew.

    Raises UserError naming the folder or file and the remedy: nothing there, no family in it, a table that cannot be read.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout: unknown {layout}. Known: {', '.join(LAYOUTS)}")
    folder = expanded(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Check the path; kinship sets must be asked for from their authors.")
    read, pattern = LAYOUTS[layout]
    families = sorted(read(folder), key=lambda kin: kin.family)
    if not families:
        raise UserError(
            f"{folder}: no families found. The layout {layout} is {pattern}; check the folder or the layout."
        )
    return families


def pairs_of_photos(folder: str | Path) -> list[KinPhotos]:
    """Strangers' pictures in a folder, two by two in the order of their names; an odd one is left over."""
    root = expanded(folder)
    if not root.is_dir():
        raise UserError(f"{folder}: no such folder.")
    photos = _photos(root)
    return [KinPhotos(f"{a.stem}+{b.stem}", a, b, ()) for a, b in zip(photos[::2], photos[1::2], strict=False)]


def triplets(folder: Path) -> Iterator[KinPhotos]:
    """ID/father.* ID/mother.* ID/child*.*: any number of children, also none. Other folders are left alone."""
    for home in _folders(folder):
        photos = _photos(home)
        parents = sorted((p for p in photos if p.stem.lower() in ("father", "mother")), key=lambda p: p.stem.lower())
        children = tuple(p for p in photos if p.stem.lower().startswith("child"))
        if [p.stem.lower() for p in parents] == ["father", "mother"]:
            yield KinPhotos(home.name, parents[0], parents[1], children)
        elif parents or children:
            raise UserError(
                f"{home}: one father.* and one mother.* are needed. Add or remove one, or move the folder away."
            )


def fiw(folder: Path) -> Iterator[KinPhotos]:
    """Families in the Wild (Robinson 2018): [FIDs/]F0001/mid.csv and F0001/MID1/P00001_face0.jpg.

    A child counts when the table gives it exactly one father and one mother, who are not siblings, and all three have
    photographs. P00001 is the photograph that a face was cropped from: a couple and its children get one face each, no
    two from the same photograph. Children for whom this cannot be done come by themselves, with `same_photo` set.
    """
    for home in _folders(folder / "FIDs" if (folder / "FIDs").is_dir() else folder):
        if (home / "mid.csv").is_file():
            members = {m.name[3:]: _photos(m) for m in _folders(home) if re.fullmatch(r"MID\d+", m.name)}
            faces = {member: {p.stem.split("_")[0]: p for p in photos} for member, photos in members.items()}
            for (father, mother), children in _couples(home / "mid.csv").items():
                if faces.get(father) and faces.get(mother):
                    yield from _cross_photo(home.name, father, mother, [c for c in children if faces.get(c)], faces)


def tskinface(folder: Path) -> Iterator[KinPhotos]:
    """TSKinFace (Qin 2015): [TSKinFace_cropped/]{FMS,FMD,FMSD}/FMS-1-F.jpg; F father, M mother, S son, D daughter.

    Each family shares one photograph. Families that lack a parent's or all children's faces are left out.
    """
    found: dict[str, dict[str, Path]] = {}
    for kind in ("FMS", "FMD", "FMSD"):
        for photo in _photos(_inside(folder, "TSKinFace_cropped", kind)):
            if match := re.fullmatch(rf"({kind}-\d+)-([FMSD])", photo.stem):
                found.setdefault(match[1], {})[match[2]] = photo
    for family, who in found.items():
        children = tuple(who[c] for c in "SD" if c in who)
        if "F" in who and "M" in who and children:
            yield KinPhotos(family, who["F"], who["M"], children, same_photo=True)


def kinfacew(folder: Path) -> Iterator[KinPhotos]:
    """KinFaceW (Lu 2014): [images/]{father,mother}-{dau,son}/fd_001_1.jpg; 1 parent, 2 child. Pairs: see `KinPhotos`.

    In KinFaceW-II most pairs share a photograph, in KinFaceW-I they do not. Only the name of a folder above tells which
    it is, so `same_photo` is set unless one is called KinFaceW-I.
    """
    same = "kinfacew-i" not in (part.lower() for part in folder.resolve().parts)
    for kind in ("father-dau", "father-son", "mother-dau", "mother-son"):
        photos = {photo.stem: photo for photo in _photos(_inside(folder, "images", kind))}
        for stem, parent in photos.items():
            child = photos.get(f"{stem[:-1]}2")
            if child and re.fullmatch(r"[fm][ds]_\d+_1", stem):
                father, mother = (parent, None) if kind.startswith("father") else (None, parent)
                yield KinPhotos(stem[:-2], father, mother, (child,), same_photo=same)


LAYOUTS: dict[str, tuple[Callable[[Path], Iterator[KinPhotos]], str]] = {
    "triplets": (triplets, "FOLDER/ID/father.*, mother.*, child*.*"),
    "fiw": (fiw, "FOLDER/FIDs/F0001/mid.csv and F0001/MID1/P00001_face0.jpg"),
    "tskinface": (tskinface, "FOLDER/TSKinFace_cropped/FMS/FMS-1-F.jpg"),
    "kinfacew": (kinfacew, "FOLDER/images/father-dau/fd_001_1.jpg"),
}


def _couples(table: Path) -> dict[tuple[str, str], list[str]]:
    """mid.csv -> {(father, mother): children}, by member number.

    The code in row i, column j says what i is to j: 1 in row 2, column 1 makes member 2 a child of member 1, and row 1,
    column 2 then holds 4. So the set's authors explain it (github.com/visionjo/pykinship, ABOUT_FIWDB.md).
    """
    codes, gender = _read_table(table)
    couples: dict[tuple[str, str], list[str]] = {}
    for child in gender:
        # One of the two entries is enough, the other may be blank; where they contradict each other, nobody knows.
        parents = [p for p in gender if (codes.get((child, p), 0), codes.get((p, child), 0))
                   in ((CHILD, PARENT), (CHILD, 0), (0, PARENT))]  # fmt: skip
        parents.sort(key=lambda p: gender[p], reverse=True)
        if [gender[p] for p in parents] == ["m", "f"]:
            father, mother = parents
            # A transposed table would make a brother and a sister the "parents" of their mother.
            if SIBLING not in (codes.get((father, mother)), codes.get((mother, father))):
                couples.setdefault((father, mother), []).append(child)
    return couples


def _read_table(table: Path) -> tuple[dict[tuple[str, str], int], dict[str, str]]:
    """Columns MID (in some versions "0"), 1..n, Name, Gender -> {(row, column): code}, {member: "m" or "f"}."""
    codes: dict[tuple[str, str], int] = {}
    gender: dict[str, str] = {}
    try:
        # Names are not used, and not all of them are UTF-8.
        text = io.StringIO(read_file(table).decode("utf-8-sig", "replace"), newline="")
        head, *rows = [[cell.strip() for cell in row] for row in csv.reader(text)]
        columns = {name: at for at, name in enumerate(head) if at and name.isdigit()}
        at_gender = [name.lower() for name in head].index("gender")
        for row in rows:
            if row and row[0]:  # spreadsheets leave rows of commas behind
                member = str(int(float(row[0])))
                gender[member] = row[at_gender][:1].lower()
                codes |= {(member, name): int(float(row[at] or 0)) for name, at in columns.items()}
    except (OSError, ValueError, IndexError, OverflowError, csv.Error) as error:
        raise UserError(
            f"{table}: not a relation matrix with the columns MID, 1..n, Name, Gender ({error}). Copy it from FIW again."
        ) from error
    return codes, gender


def _cross_photo(
    family: str, father: str, mother: str, children: Sequence[str], faces: Mapping[str, Mapping[str, Path]]
) -> Iterator[KinPhotos]:
    """As many children as possible together, each face of this family from a photograph of its own."""
    while children:
        chosen = _different([father, mother, *children], faces)
        # Whoever comes first is served first, so the first child fails only if its triplet alone would fail too.
        together = [c for c in children if c in chosen] if {father, mother, children[0]} <= chosen.keys() else []
        kin = [father, mother, *(together or children[:1])]
        photos = [faces[who][chosen[who]] if who in chosen else next(iter(faces[who].values())) for who in kin]
        yield KinPhotos(family, photos[0], photos[1], tuple(photos[2:]), same_photo=not together)
        children = [c for c in children if c not in kin]


def _different(members: Sequence[str], faces: Mapping[str, Mapping[str, Path]]) -> dict[str, str]:
    """{member: photograph}, no photograph twice: as many members as can be, earlier ones first, in early photographs."""
    photographs = list(dict.fromkeys(name for member in members for name in faces[member]))
    worth = np.zeros((len(members), len(photographs)))
    for i, member in enumerate(members):
        for place, name in enumerate(faces[member]):
            worth[i, photographs.index(name)] = len(members) - i - place / worth.size  # places together stay below 1
    pairs = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return {members[i]: photographs[j] for i, j in pairs if worth[i, j] > 0}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _photos(folder: Path) -> list[Path]:
    """Pictures in a folder by name; none if there is no such folder. "._name.jpg" is what macOS leaves behind.

    What cannot be read is listed all the same: whoever loads it says why, instead of a relative who is missing.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in files if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _inside(folder: Path, top: str, kind: str) -> Path:
    return folder / top / kind if (folder / top).is_dir() else folder / kind
