"""Pages for the browser, filled in by Jinja: whatever a name contains, it stands there as text."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from ..image import mark_beside, resized
from .run_folder import RunFolder, footer_of

LARGEST = 1400  # pixels of the longer side of a picture inside a page
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


def data_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, 3] as a JPEG inside a URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def save_before_after(
    folder: RunFolder, name: str, title: str, pictures: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """`NAME`, an HTML file that needs no network: pictures uint8 [H, W, 3] over each other, with a line to be dragged.

    By caption, all of one shape; the first is what was before.
    """
    shown = [(caption, data_uri(fitted(picture))) for caption, picture in pictures.items()]
    text = fill("before_after.html", title=title, pictures=shown, footer=footer_of(facts))
    folder.write(name, text.encode())
    folder.path(f"{name}.json")
    mark_beside(folder.root / name, {**facts, "picture": "before and after"})


def fitted(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], at most LARGEST pixels wide and high."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    return resized(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
