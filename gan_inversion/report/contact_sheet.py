"""One picture of one family: photographs, aligned faces, inversions, children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..image import resized
from ..metrics.verdict import ALIKE, OTHER, SAME, Verdict

TILE, GAP, MARGIN, CAPTION = 320, 14, 36, 30
PAPER, INK, FAINT, FRAME = (250, 249, 246), (40, 40, 44), (120, 120, 126), (214, 178, 94)


LINES = ((66, 103, 160), (176, 96, 52), (84, 140, 84), (140, 84, 140))  # of couples, in turn
VERDICTS = {SAME: (46, 139, 87), ALIKE: (222, 158, 32), OTHER: (200, 60, 60)}  # green, amber, red


@dataclass(frozen=True)
class ParentRow:
    name: str
    photo: np.ndarray | None  # uint8 [H, W, 3]; None: a drawn parent, of whom there is none
    quad: Sequence[tuple[float, float]]  # corners of the crop in the photo's pixels; empty: not drawn
    aligned: np.ndarray | None
    inversion: np.ndarray
    remark: str  # one line of figures under the inversion; or what is said of a drawn parent
    verdict: Verdict | None = None  # whether it is still the person
    looked_at: str = ""  # what is told of a mask that is shown over the aligned face


def contact_sheet(parents: Sequence[ParentRow], children: Mapping[str, np.ndarray], footer: str) -> np.ndarray:
    """uint8 [H, W, 3]. A single child is drawn as tall as both parents; more go into a grid below them."""
    rows_height = len(parents) * (TILE + CAPTION + GAP)
    single = len(children) == 1
    big = rows_height - CAPTION - GAP
    across = 3 * TILE + 2 * GAP
    width = 2 * MARGIN + across + (3 * GAP + big if single else 0)
    columns = max(1, min(3, len(children)))
    grid = (across - (columns - 1) * GAP) // columns
    grid_rows = 0 if single else -(-len(children) // columns)
    height = 2 * MARGIN + rows_height + grid_rows * (grid + CAPTION + GAP) + CAPTION
    sheet = Image.new("RGB", (width, height), PAPER)
    y = MARGIN
    for parent in parents:
        tiles = [(_fit(parent.inversion, TILE), str(parent.verdict or f"inversion   {parent.remark}"))]
        if parent.photo is None or parent.aligned is None:
            _say(sheet, parent.remark, MARGIN, y + TILE // 2)
            tiles = [(_fit(parent.inversion, TILE), f"{parent.name}: drawn, not photographed")]
        else:
            aligned = f"aligned: {parent.looked_at}" if parent.looked_at else "aligned"
            tiles[:0] = [
                (_photo_tile(parent.photo, parent.quad), f"{parent.name}: photograph"),
                (_fit(parent.aligned, TILE), aligned),
            ]
        for column, (tile, caption) in enumerate(tiles, 3 - len(tiles)):
            _put(sheet, tile, caption, MARGIN + column * (TILE + GAP), y)
        if parent.verdict:
            _mark(sheet, MARGIN + 3 * TILE + 2 * GAP, y + TILE + CAPTION // 2, VERDICTS[parent.verdict.word])
        y += TILE + CAPTION + GAP
    for number, (name, child) in enumerate(children.items()):
        if single:
            _put(sheet, _fit(child, big), name, MARGIN + across + 3 * GAP, MARGIN)
        else:
            at = MARGIN + number % columns * (grid + GAP), y + number // columns * (grid + CAPTION + GAP)
            _put(sheet, _fit(child, grid), name, *at)
    ImageDraw.Draw(sheet).text((MARGIN, height - MARGIN), footer, FAINT, font(15), anchor="ls")
    return np.asarray(sheet)


def tiles_sheet(tiles: Mapping[str, np.ndarray], footer: str, columns: int = 3) -> np.ndarray:
    """uint8 [H, W, 3]: pictures in a grid, each with its caption."""
    rows = -(-len(tiles) // columns)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    height = 2 * MARGIN + rows * (TILE + CAPTION + GAP) + CAPTION
    sheet = Image.new("RGB", (width, height), PAPER)
    for number, (name, picture) in enumerate(tiles.items()):
        x, y = MARGIN + number % columns * (TILE + GAP), MARGIN + number // columns * (TILE + CAPTION + GAP)
        _put(sheet, _fit(picture, TILE), name, x, y)
    ImageDraw.Draw(sheet).text((MARGIN, height - MARGIN), footer, FAINT, font(15), anchor="ls")
    return np.asarray(sheet)


def tree_sheet(
    rows: Sequence[Sequence[str]],
    unions: Sequence[tuple[Sequence[str], Sequence[str]]],
    pictures: Mapping[str, np.ndarray],
    captions: Mapping[str, str],
    footer: str,
) -> np.ndarray:
    """uint8 [H, W, 3]: a row of names a generation; of each couple a line, from both parents to all their children."""
    step, room = TILE + 3 * GAP, CAPTION + GAP * (2 + len(unions))
    across = max(len(row) for row in rows) * step
    height = 2 * MARGIN + len(rows) * (TILE + room) + CAPTION
    sheet = Image.new("RGB", (2 * MARGIN + across, height), PAPER)
    draw, places = ImageDraw.Draw(sheet), dict[str, tuple[int, int]]()
    for level, row in enumerate(rows):
        left = MARGIN + (across - len(row) * step) // 2
        places |= {name: (left + i * step, MARGIN + level * (TILE + room)) for i, name in enumerate(row)}
    for number, (parents, children) in enumerate(unions):
        colour = LINES[number % len(LINES)]
        bar = max(places[name][1] for name in parents) + TILE + CAPTION + GAP * (number + 1)
        ends = [places[name][0] + TILE // 2 for name in (*parents, *children)]
        draw.line([(min(ends), bar), (max(ends), bar)], colour, 4)
        for name, x in zip((*parents, *children), ends, strict=True):
            draw.line([(x, places[name][1] + (TILE if name in parents else 0)), (x, bar)], colour, 4)
    for name, (x, y) in places.items():
        _put(sheet, _fit(pictures[name], TILE), "", x, y)
        box = draw.textbbox((x + 1, y + TILE + CAPTION // 2), captions[name], font(17), anchor="lm")
        draw.rectangle(box, PAPER)  # the line behind it
        _say(sheet, captions[name], x + 1, y + TILE + CAPTION // 2)
    draw.text((MARGIN, height - MARGIN), footer, FAINT, font(15), anchor="ls")
    return np.asarray(sheet)


def _photo_tile(whole: np.ndarray, quad: Sequence[tuple[float, float]]) -> Image.Image:
    """The whole photograph on a square, the crop outlined."""
    height, width = whole.shape[:2]
    scale = TILE / max(height, width)
    photo = Image.fromarray(resized(whole, max(1, round(width * scale)), max(1, round(height * scale))))
    tile = Image.new("RGB", (TILE, TILE), (236, 234, 228))
    left, top = (TILE - photo.width) // 2, (TILE - photo.height) // 2
    tile.paste(photo, (left, top))
    if quad:
        corners = [(x * scale + left, y * scale + top) for x, y in quad]
        ImageDraw.Draw(tile).line([*corners, corners[0]], fill=FRAME, width=3, joint="curve")
    return tile


def _mark(sheet: Image.Image, right: int, middle: int, colour: tuple[int, int, int]) -> None:
    """A dot at the end of a caption."""
    ImageDraw.Draw(sheet).ellipse([right - 16, middle - 7, right - 2, middle + 7], fill=colour)


def _fit(pixels: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(resized(pixels, side, side))


def _put(sheet: Image.Image, tile: Image.Image, caption: str, x: int, y: int) -> None:
    sheet.paste(tile, (x, y))
    _say(sheet, caption, x + 1, y + tile.height + CAPTION // 2)


def _say(sheet: Image.Image, text: str, x: int, y: int) -> None:
    ImageDraw.Draw(sheet).text((x, y), text, INK, font(17), anchor="lm")


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
