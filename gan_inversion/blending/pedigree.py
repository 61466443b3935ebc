"""A family over generations, as one YAML says it: who has a photograph or latents, and who has children with whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from ..errors import UserError, suggestion
from ..storage import expanded, read_file

LARGEST = 1_000_000  # bytes
NAME = re.compile(r"\w[\w-]{0,60}")  # files are called so
PERSON = ("photo", "face", "latents")
PARENTS = ("father", "mother")
BORN = {
    "children": "",
    "daughters": "female",
    "sons": "male",
}  # of a couple; children's sex is drawn, or as `child` says


@dataclass(frozen=True)
class Founder:
    """Whose parents are not in the tree: a photograph, or stored latents."""

    photo: str | None = None
    face: int | None = None
    latents: str | None = None


@dataclass(frozen=True)
class Union:
    """A couple with children; parents and children by name."""

    father: str
    mother: str
    genders: dict[str, str]  # child -> female, male, or "" where it was not said

    @property
    def children(self) -> tuple[str, ...]:
        return tuple(self.genders)


@dataclass(frozen=True)
class Pedigree:
    founders: dict[str, Founder]
    unions: tuple[Union, ...]  # parents before their children become parents

    @property
    def generations(self) -> dict[str, int]:
        """Name -> how far from the oldest: children follow the younger of their parents, who stand side by side."""
        found = dict.fromkeys(self.founders, 0)
        for _ in self.unions:  # as many rounds as there could be generations
            for union in self.unions:
                level = max(found.get(union.father, 0), found.get(union.mother, 0))
                found |= {name: level for name in (union.father, union.mother) if name in self.founders}
                found |= {name: max(level + 1, found.get(name, 0)) for name in union.children}
        return found


def read_pedigree(path: str) -> Pedigree:
    """Raises UserError, with the file and the line: not such a file, unknown names and keys, people born twice, cycles."""
    try:
        root = yaml.compose(read_file(path, LARGEST), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(getattr(error, "problem_mark", None), "line", None)
        place = path if where is None else f"{path}, line {where + 1}"
        raise UserError(f"{place}: not YAML ({getattr(error, 'problem', None) or 'too deep, or no text'}).") from error
    top = dict(_entries(root, path, ("people", "couples")))
    people = {name: _founder(node, path) for name, node in _entries(top.get("people"), path)}
    nodes = top.get("couples")
    if not isinstance(nodes, yaml.SequenceNode) or not nodes.value:
        raise UserError(f"{_at(nodes or root, path)}: couples: a list is needed, of father, mother and children each.")
    known, waiting = {*people}, [(_union(node, path), node) for node in nodes.value]
    born = dict[str, yaml.Node]()
    for union, node in waiting:
        for child in union.children:
            if child.lower() in {
                one.lower() for one in (*people, *born)
            }:  # files are called so, not everywhere by case
                raise UserError(f"{_at(node, path)}: {child} is there twice: as a child, and before.")
            born[child] = node
    for union, node in waiting:
        for name in (union.father, union.mother):
            if name not in known and name not in born:
                raise UserError(f"{_at(node, path)}: nobody is called {name}.{suggestion(name, [*known, *born])}")
    ordered: list[Union] = []
    while waiting:
        ready = [(union, node) for union, node in waiting if {union.father, union.mother} <= known]
        if not ready:
            raise UserError(f"{_at(waiting[0][1], path)}: {waiting[0][0].father} or {waiting[0][0].mother} is a descendant "
                            "of their own children.")  # fmt: skip
        ordered += [union for union, _ in ready]
        known |= {child for union, _ in ready for child in union.children}
        waiting = [pair for pair in waiting if pair not in ready]
    roles = [{union.father for union in ordered}, {union.mother for union in ordered}]
    for name in sorted(roles[0] & roles[1] & {*born}):
        raise UserError(f"{_at(born[name], path)}: {name} is a father and a mother.")
    for name, gender in ((name, gender) for union in ordered for name, gender in union.genders.items()):
        if (gender == "female" and name in roles[0]) or (gender == "male" and name in roles[1]):
            raise UserError(f"{_at(born[name], path)}: {name} is a daughter and a father, or a son and a mother.")
    return Pedigree(people, tuple(ordered))


def _founder(node: yaml.Node, path: str) -> Founder:
    said = {key: _text(value, path) for key, value in _entries(node, path, PERSON)}
    if ("photo" in said) == ("latents" in said):
        raise UserError(f"{_at(node, path)}: photo or latents is needed, one of them.")
    face = said.get("face")
    if face is not None and not (face.isdecimal() and "photo" in said):
        raise UserError(f"{_at(node, path)}: face={face}: a number of a face in the photo.")
    files = {key: str(expanded(path).parent / expanded(said[key])) for key in ("photo", "latents") if key in said}
    return Founder(files.get("photo"), None if face is None else int(face), files.get("latents"))


def _union(node: yaml.Node, path: str) -> Union:
    said = dict(_entries(node, path, (*PARENTS, *BORN)))
    if not {*PARENTS} <= {*said} or not {*BORN} & {*said}:
        missing = next((key for key in PARENTS if key not in said), "children")
        raise UserError(f"{_at(node, path)}: {missing} is missing: father, mother, and children or daughters or sons.")
    father, mother = (_name(said[role], path) for role in PARENTS)
    if father == mother:
        raise UserError(f"{_at(node, path)}: {father} cannot be both parents.")
    genders = dict[str, str]()
    for key, gender in BORN.items():
        names = said.get(key)
        if names is None:
            continue
        if not isinstance(names, yaml.SequenceNode) or not names.value:
            raise UserError(f"{_at(names, path)}: {key}: a list of names is needed.")
        for name in (_name(one, path) for one in names.value):
            if name in genders:
                raise UserError(f"{_at(names, path)}: {name} is there twice.")
            genders[name] = gender
    return Union(father, mother, genders)


def _entries(node: yaml.Node | None, path: str, keys: tuple[str, ...] | None = None) -> Iterator[tuple[str, yaml.Node]]:
    """Of a mapping with these keys, or with names of people. Raises UserError."""
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{_at(node, path)}: {' and '.join(keys or ('people',))} are needed, as KEY: VALUE.")
    seen = set[str]()
    for key, value in node.value:
        name = _text(key, path) if keys else _name(key, path)
        if keys and name not in keys:
            raise UserError(f"{_at(key, path)}: unknown key {name}.{suggestion(name, keys)}")
        if name in seen:
            raise UserError(f"{_at(key, path)}: {name} is there twice.")
        seen.add(name)
        yield name, value


def _name(node: yaml.Node, path: str) -> str:
    name = _text(node, path)
    if not NAME.fullmatch(name):
        raise UserError(f"{_at(node, path)}: {name!r}: names have letters, digits, _ and - only: files are called so.")
    if name.endswith("_inversion") or name.lower() == "family_tree":
        raise UserError(f"{_at(node, path)}: {name}: a file of the run is called so. Choose another name.")
    return name


def _text(node: yaml.Node, path: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{_at(node, path)}: a single value is needed.")
    return str(node.value)


def _at(node: yaml.Node | None, path: str) -> str:
    return path if node is None else f"{path}, line {node.start_mark.line + 1}"
