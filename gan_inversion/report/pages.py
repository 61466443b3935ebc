"""Pages for the browser, filled in by Jinja: whatever a name contains, it stands there as text."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

FOLDER = Path(__file__).parent / "templates"
TEMPLATES = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
TEMPLATES.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # by default it would sort, too


def fill(name: str, **values: Any) -> str:
    """The template NAME with `values`. `hash_of(tag)`: for its Content-Security-Policy.

    Names of files need not be valid Unicode: what UTF-8 cannot hold becomes a character reference.
    """
    template = (FOLDER / name).read_text("utf-8")
    text = TEMPLATES.from_string(template).render(values, hash_of=partial(_hash_of, template))
    return text.encode("utf-8", "xmlcharrefreplace").decode("utf-8")


def _hash_of(template: str, tag: str) -> str:
    """The one inline script or style that the browser may run: a hostile name could not, had it slipped through."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
