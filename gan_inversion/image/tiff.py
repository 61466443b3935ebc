"""Which of the pictures in a TIFF is the photograph: raw files begin with a small copy of it (TIFF 6.0, DNG)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PICTURES, TAGS = 64, 4096  # looked at in one file, and of each
SUBFILE, WIDTH, HEIGHT, PHOTOMETRIC, ORIENTATION, TILE_WIDTH, TILE_HEIGHT, SUBPICTURES, DNG = (
    254, 256, 257, 262, 274, 322, 323, 330, 50706,
)  # fmt: skip
MOSAIC = (32803, 34892)  # what a sensor saw, colours not made of it yet
LARGEST_TILE = 16_000_000  # pixels
SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # bytes of a whole number, by the type of its field


class RawError(Exception):
    """The photograph in the file is one that only raw converters read."""


@dataclass(frozen=True)
class _Layout:
    """Where numbers lie: in TIFF, and in BigTIFF with twice as many bytes."""

    data: bytes
    order: Any
    offset: int  # bytes of an offset
    count: int  # bytes of the number of fields

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], self.order)

    def fields(self, at: int) -> tuple[dict[int, list[int]], int]:
        """Whole numbers by tag, and where the next picture's fields are; 0 if there is none."""
        size, found = 4 + 2 * self.offset, dict[int, list[int]]()
        entries = min(self.number(at, self.count), TAGS)
        for i in range(entries):
            place = at + self.count + i * size
            tag, kind, count = self.number(place, 2), self.number(place + 2, 2), self.number(place + 4, self.offset)
            if kind in SIZES and 0 < count <= PICTURES:
                inside = SIZES[kind] * count <= self.offset
                start = place + 4 + self.offset if inside else self.number(place + 4 + self.offset, self.offset)
                found[tag] = [self.number(start + j * SIZES[kind], SIZES[kind]) for j in range(count)]
        return found, self.number(at + self.count + entries * size, self.offset)


def main_picture(data: bytes) -> tuple[bytes, int]:
    """The file with its photograph as its first picture, and how that is to be turned (0: its own fields tell).

    Pages of equal rank stay in their order. Raises RawError, and ValueError for tiles much larger than the picture.
    """
    order, big = "little" if data[:1] == b"I" else "big", data[2:4] in (b"+\0", b"\0+")
    layout = _Layout(data, order, 8 if big else 4, 8 if big else 2)
    header = 8 if big else 4  # where the offset of the first is
    chain = first = layout.number(header, layout.offset)
    found: dict[int, dict[int, list[int]]] = {}
    while chain and chain not in found and len(found) < PICTURES:
        fields, following = layout.fields(chain)
        found[chain] = fields
        for at in fields.get(SUBPICTURES, []):
            if at not in found and len(found) < PICTURES:
                found[at] = layout.fields(at)[0]
        chain = following
    raw = any(DNG in fields for fields in found.values()) or data[8:10] == b"CR"
    best = first
    if found.get(first, {}).get(SUBFILE, [0])[0] & 1 or _is_mosaic(found.get(first, {})):
        whole = {at: fields for at, fields in found.items() if not fields.get(SUBFILE, [0])[0] & 1}
        drawn = {at: fields for at, fields in whole.items() if not _is_mosaic(fields)}
        if not drawn and whole:
            raise RawError
        if drawn:
            best = max(drawn, key=lambda at: _pixels(drawn[at]))
        elif raw:
            raise RawError
    fields = found.get(best, {})
    tile = fields.get(TILE_WIDTH, [0])[0] * fields.get(TILE_HEIGHT, [0])[0]
    if tile > max(LARGEST_TILE, 4 * _pixels(fields)):
        raise ValueError(f"its tiles have {tile / 1e6:.0f} megapixels")
    if best == first:
        return data, 0
    turn = 0 if ORIENTATION in fields else found[first].get(ORIENTATION, [0])[0]
    return data[:header] + best.to_bytes(layout.offset, order) + data[header + layout.offset :], turn  # type: ignore[arg-type]


def _is_mosaic(fields: dict[int, list[int]]) -> bool:
    return fields.get(PHOTOMETRIC, [0])[0] in MOSAIC


def _pixels(fields: dict[int, list[int]]) -> int:
    return fields.get(WIDTH, [0])[0] * fields.get(HEIGHT, [0])[0]
