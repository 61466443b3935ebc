"""What the cells of a manifest mean, one by one: keys, values, and what is wrong with them."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from .tables import text_of

LONGEST, SHORT, LISTS = 2_000, 100, 16  # characters of a list and of a number; lists in a cell
LEAST = {"seed": 0, "siblings": 1, "father_face": 0, "mother_face": 0, "face": 0, "hold": 0, "frames": 0, "fps": 1,
         "size": 32}  # fmt: skip  # whole numbers
ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
RESERVED = re.compile(r"(con|nul|aux|prn|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
NUMBER = re.compile(r"-?([0-9]{1,18})(\.[0-9]+)?")  # YAML is much slower, and reads 0010 as eight


def problem_with_id(name: str) -> str:
    """It becomes the name of a folder, on all kinds of computers."""
    if ID.fullmatch(name) and not RESERVED.fullmatch(name):
        return ""
    why = "a name that Windows reserves" if RESERVED.fullmatch(name) else "not allowed"
    return (
        f"id {name[:120]!r}: {why}. It becomes a folder's name: use 1 to 100 letters, digits, . _ -, "
        "beginning with no . or -, ending with no dot."
    )


def problem_with(key: str, value: Any) -> str:
    """Of numbers that are none, and of the keys that are no group's, which are checked by what is built of them."""
    if not _finite(value):
        return f"{key} {value!r}: must be a finite number."
    if key in LEAST and not (value is None and key.endswith("face")):
        if type(value) is not int or not LEAST[key] <= value < 2**63:
            least = f"at least {LEAST[key]}" if type(value) is not int or value < 2**63 else "below 2**63"
            return f"{key} {value!r}: must be a whole number, {least}."
    elif key == "diversity" and (type(value) not in (int, float) or value < 0):
        return f"{key} {value!r}: must be a number, at least 0."
    return ""


def _finite(value: Any) -> bool:
    return (
        all(map(_finite, value)) if isinstance(value, tuple) else not isinstance(value, float) or math.isfinite(value)
    )


def value_of(text: str) -> Any:
    """Of a cell, by YAML's rules: numbers, true, null, short [lists]; all else, dates and aliases among it, is text."""
    found = NUMBER.fullmatch(text)
    if found:
        return float(text) if found[2] else int(text)
    if ":" in text:  # 1:30 is no number to a person, and 5400 or 90 to YAML
        return text
    if len(text) > (LONGEST if text[0] == "[" else SHORT) or text[0] in "&*{" or text.count("[") > LISTS:
        return text
    try:
        if text[0] == "[" and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            return text
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    if isinstance(value, str):
        return value if text[0] in "'\"" else text  # quotes are YAML's; a # or & is not meant as such
    if isinstance(value, list) and text[0] == "[":
        return value
    words = ("null", "Null", "NULL", "~")
    return value if isinstance(value, bool | int | float) or (value is None and text in words) else text


def plain(value: Any) -> Any:
    """Lists as tuples, and what JSON has no word for as text: settings are compared, hashed and written."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else text_of(value)
