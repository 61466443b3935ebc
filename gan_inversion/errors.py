"""What goes wrong, said so that a person can put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. The message names the file or the setting, and the remedy."""


class StorageError(UserError):
    """A disk or storage that cannot be read or written. It is nobody's photograph's fault: the whole run stops."""


# What people say, and what it is called here: the last part of a key.
SYNONYMS = {
    **dict.fromkeys(("sex", "male", "female"), "gender"),
    **dict.fromkeys(("children", "kids", "number", "n"), "siblings"),
    **dict.fromkeys(("output", "out", "outdir", "output_path", "folder"), "output_dir"),
    **dict.fromkeys(("dad", "daddy", "parent1"), "father"),
    **dict.fromkeys(("mum", "mom", "parent2"), "mother"),
    **dict.fromkeys(("photo", "images", "image", "pictures", "input"), "photos"),
    **dict.fromkeys(("iterations", "num_steps", "iters"), "steps"),
    **dict.fromkeys(("lr", "rate"), "learning_rate"),
    **dict.fromkeys(("gpu", "cuda"), "device"),
    **dict.fromkeys(("network", "model", "checkpoint", "ckpt"), "generator"),
    **dict.fromkeys(("mutation", "variety"), "diversity"),
    **dict.fromkeys(("years", "old"), "age"),
}


def suggestion(word: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' or the list of what there is.

    A synonym, or the same word further inside of a path (age: child.age), comes before what is only spelled alike.
    """
    known = sorted(set(known), key=lambda one: (one.count("."), one))
    before, _, last = word.rpartition(".")
    for meant in filter(None, (SYNONYMS.get(last), last)):
        paths = [one for one in known if one == meant or one.endswith(f".{meant}")]
        beside = [one for one in paths if one.rpartition(".")[0] == before]
        if paths:
            return f" Did you mean {(beside or paths)[0]}?"
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(sorted(known))}."
