"""What the rows of a manifest may say: those of couples, and those of photographs that are to be edited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..editing.edits import ORDER
from .couples import Couple, Portrait


@dataclass(frozen=True)
class Kind:
    """Columns, by what they set. All may have `note_*` too."""

    item: type[Couple] | type[Portrait]
    needed: tuple[str, ...]  # columns that no row goes without
    keys: tuple[str, ...]  # columns that are called as the key they set
    dotted: re.Pattern[str]  # of keys within a group; no _target_: a row must not choose what is built
    groups: tuple[str, ...]  # of these, as people are told of them
    short: Mapping[str, str] = field(default_factory=dict)  # column -> the key that it sets

    @property
    def name(self) -> str:
        return self.item.KIND

    @property
    def own(self) -> tuple[str, ...]:
        """Columns that set nothing."""
        return ("id", *self.item.ROLES)

    def key_of(self, column: str) -> str:
        """The key that a column sets; empty if there is no such column."""
        return column if column in self.keys or self.dotted.fullmatch(column) else self.short.get(column, "")

    @property
    def columns(self) -> tuple[str, ...]:
        """To be suggested."""
        return (*self.own, *self.keys, *self.short, *self.groups, "note_*")


COUPLES = Kind(
    Couple,
    ("id", *Couple.ROLES),
    ("seed", "siblings", "father_face", "mother_face", "diversity"),
    re.compile(r"(blend|inherit|child)(\.[A-Za-z]\w*)+"),
    ("blend.*", "inherit.*", "child.*"),
    {"age": "child.age", "gender": "child.gender", "weight": "blend.weight"},
)
PHOTOGRAPHS = Kind(
    Portrait,
    Portrait.ROLES,
    (*ORDER, "face", "directions", "hold", "bound", "paste_back", "frames", "fps", "size"),
    re.compile(r"steps\.[\w-]+"),
    ("steps.*",),
)
