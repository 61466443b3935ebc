"""Is an inversion still the person of its photograph? Said in words before anything is made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..assets.catalogue import path_of, read_catalogue
from ..errors import UserError

SAME, ALIKE, OTHER = "the same person", "a look-alike", "someone else"
REQUIRE = {"warn": OTHER, "look_alike": ALIKE, "same_person": SAME}  # value of the key -> the least that is accepted
RANKS = {SAME: 2, ALIKE: 1, OTHER: 0}
JUDGES = ("identity_faceres", "identity_dlib")  # metrics that verdicts are given by, the better one first
# Number from which an inversion is the same person, and a look-alike (docs/quality.md says how they were found). Of
# FaceRes' cosine, which no loss sees; of dlib's distance, and of that where it was optimised and so flatters.
FACERES, DLIB, DLIB_OPTIMISED = (0.83, 0.60), (0.45, 0.60), (0.25, 0.45)


@dataclass(frozen=True)
class Verdict:
    word: str
    value: float
    network: str  # FaceRes, whose cosine it is; or dlib, whose distance it is

    def __str__(self) -> str:
        return f"{self.word} ({self.network} {self.value:.2f})"

    def describe(self) -> dict[str, Any]:
        """For summaries, as JSON values."""
        return {"verdict": self.word, "value": self.value, "network": self.network}


def judge() -> str:
    """The metric that verdicts are given by: FaceRes' where it was fetched, else dlib's."""
    return JUDGES[0] if path_of(read_catalogue()["faceres"]).is_file() else JUDGES[1]


def verdict_of(metrics: Mapping[str, float], pursued: Collection[str]) -> Verdict | None:
    """By the metrics of an inversion; None where neither network was asked. `pursued`: metrics that were optimised."""
    if "identity_faceres" in metrics:
        value, (same, alike) = metrics["identity_faceres"], FACERES
        word = SAME if value >= same else ALIKE if value >= alike else OTHER
        return Verdict(word, value, "FaceRes")
    if "identity_dlib" in metrics:
        value = metrics["identity_dlib"]
        same, alike = DLIB_OPTIMISED if "identity_dlib" in pursued else DLIB
        word = SAME if value <= same else ALIKE if value <= alike else OTHER
        return Verdict(word, value, "dlib")
    return None


def check_require(require: str | None) -> None:
    if require is not None and require not in REQUIRE:
        raise UserError(f"inversion.require={require}: choose one of {', '.join(REQUIRE)}, or null.")


def refused(verdict: Verdict | None, require: str | None) -> str:
    """Why an inversion is not accepted; empty if it is."""
    if verdict is None or require is None or RANKS[verdict.word] >= RANKS[REQUIRE[require]]:
        return ""
    return (
        f"its inversion is {verdict}, and inversion.require={require}. Take a sharper photograph, more from the front, or "
        "more inversion.steps; or accept it with inversion.require=warn overwrite=true."
    )
