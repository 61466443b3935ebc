"""The report of many couples, or photographs, as a page for the browser: `report.html`, and small pictures in `thumbs/`.

The page needs no network and may not use one. It holds all numbers, and asks for a picture only when it is scrolled into
view: `thumbs/ID/{father,father_inversion,mother,mother_inversion,CHILD}.jpg`, or `thumbs/ID/{aligned,inversion,EDIT}.jpg`,
each a link to the whole picture of the same name, `couples/ID/*.png` or `photographs/ID/*.png`.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from ..image import SYNTHETIC, resized, xmp
from .pages import fill
from .run_folder import footer_of

THUMB = 160  # pixels a side; shown at 128, so that they stay sharp on finer screens
EXACT = 2**53  # above it JavaScript's numbers skip integers


def thumbnail(pixels: np.ndarray, synthetic: bool) -> bytes:
    """uint8 [H, W, 3] -> JPEG of THUMB pixels a side, the middle of what is not square. XMP marks a generator's picture."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    buffer = io.BytesIO()
    small = resized(pixels[top : top + side, left : left + side], THUMB, THUMB)
    Image.fromarray(small).save(buffer, "JPEG", quality=82, **({"xmp": xmp().encode()} if synthetic else {}))
    return buffer.getvalue()


def page(
    rows: Sequence[Mapping[str, Any]],
    statuses: Mapping[str, str],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
    title: str,
    kind: str = "couples",
) -> str:
    """The whole page. Ids, paths, notes and errors come from strangers: they are escaped wherever they go.

    `rows`: a flat mapping per child, those of a couple in sequence; a couple without children has one whose "child" is
    "". Of photographs (`kind`) one per edit, and "edit". Known columns are laid out (id, child, status, error, father_*,
    ...), any other is shown, sorted and filtered all the same. `statuses`: metric -> "held out" or "optimised". `facts`:
    what made the pictures; "interrupted" is said in the footer.
    """
    full = [{**row, **_reason(row)} for row in rows]
    columns = list(dict.fromkeys(column for row in full for column in row))
    data = {
        "facts": {**SYNTHETIC, **facts},
        "kind": kind,
        "columns": columns,
        "rows": [[_plain(row.get(column)) for column in columns] for row in full],
        "statuses": dict(statuses),
    }
    return fill(
        "batch.html", title=title, footer=footer_of(facts), settings=settings, facts=facts, data=data, kind=kind
    )


def _reason(row: Mapping[str, Any]) -> dict[str, str]:
    """The error without what is this couple's own, so that equal failures are counted together."""
    error = str(row.get("error") or "")
    if not error:
        return {}
    paths = [str(row[key]) for key in ("father", "mother", "photo") if row.get(key)]
    for name in sorted({*paths, *(PurePath(path).name for path in paths)}, key=len, reverse=True):
        error = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", error)
    return {"reason": re.sub(r"\d+(?:\.\d+)?", "…", error)}


def _plain(value: Any) -> Any:
    """A value as the page's JSON can hold it: floats to six digits, which halves the page, and no NaN, which is not JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, int):  # bool as well
        return value if abs(value) < EXACT else str(value)
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return None if value is None else str(value)
