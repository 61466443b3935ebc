"""What goes wrong, said so that a person can put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. The message names the file or the setting, and the remedy."""


class StorageError(UserError):
    """A disk or storage that cannot be read or written. It is nobody's photograph's fault: the whole run stops."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' or the list of what there is."""
    known = sorted(set(known))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(known)}."
