"""What a visitor has set, as arguments of commands; and the line that makes the same anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..editing.regions import REGIONS

FOLDER = "out"  # where the told line writes


@dataclass(frozen=True)
class Wishes:
    """Of children. likeness: weight of the mother; regions: region -> father, mother or a weight, those that were chosen.

    age None: as old as the mixture; gender: female, male, drawn, or None for what the mixture has.
    """

    likeness: float = 0.5
    regions: Mapping[str, str] = field(default_factory=dict)
    age: float | None = 8
    gender: str | None = "drawn"
    diversity: float = 1.0
    seed: int = 0

    def arguments(self, steers: bool) -> list[str]:
        """KEY=VALUE of each. steers: whether the generator has directions of age and gender."""
        chosen = [f"inherit.{name}={self.regions[name]}" for name in REGIONS if self.regions.get(name)]
        steered = [f"child.age={_text(self.age)}", f"child.gender={_text(self.gender)}"] if steers else []
        return [
            f"blend.weight={self.likeness:g}",
            *chosen,
            *steered,
            f"diversity={self.diversity:g}",
            f"seed={self.seed}",
        ]


@dataclass(frozen=True)
class Changes:
    """Of one face. steps: direction -> standard deviations of people; age and gender None: as they are."""

    steps: Mapping[str, float] = field(default_factory=dict)
    age: float | None = None
    gender: str | None = None

    @property
    def nothing(self) -> bool:
        return self.age is None and self.gender is None and not any(self.steps.values())

    def arguments(self) -> list[str]:
        said = [
            f"{name}={_text(value)}"
            for name, value in (("age", self.age), ("gender", self.gender))
            if value is not None
        ]
        return said + [f"steps.{name}={step:g}" for name, step in self.steps.items() if step]


def _text(value: float | str | None) -> str:
    return "null" if value is None else value if isinstance(value, str) else f"{value:g}"


def line(command: str, arguments: Sequence[str], folder: str = FOLDER) -> str:
    """A command line, with what a shell needs quoted."""
    return shlex.join(["gan_inversion", command, *arguments, f"output_dir={folder}"])


def name_of(sent: str) -> str:
    """A file name as a photograph is called here and on the told line: the browser's, without what no folder takes, and
    without what a config would resolve: `${oc.env:...}` reads the environment."""
    name = sent.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable() and letter not in "${}").strip().lstrip(".-")
    stem, dot, suffix = name.rpartition(".")
    return f"{_cut(stem, 80)}{dot}{_cut(suffix, 8)}" if stem else (_cut(name, 80) or "photograph")


def _cut(text: str, most: int) -> str:
    """At most so many bytes: folders count those."""
    return text.encode()[:most].decode(errors="ignore")
