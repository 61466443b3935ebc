"""docs/architecture.svg: the rooms in the order of their imports, and which imports from which, read off the code."""

from __future__ import annotations

from html import escape

from tests.conftest import ROOT
from tests.test_laws import ORDER, imports_of

PACKAGE = ROOT / "gan_inversion"
PURPOSE = {
    "errors": "what goes wrong, as one sentence",
    "interfaces": "the words of the project as types",
    "storage": "files, here or on S3 and others",
    "image": "pictures to tensors, and back; marks",
    "latents": "latents in files; hashes; drawing them",
    "runtime": "threads, devices, determinism",
    "checkpoints": "others' StyleGAN files, not executed",
    "assets": "weights: catalogue, fetch, convert",
    "spaces": "Z, W, W+, P: what the search moves",
    "estimators": "networks that read faces",
    "faces": "find, align, mask, paste back",
    "losses": "distances, one number a face",
    "generators": "frozen StyleGANs",
    "inversion": "start, Adam, refinement",
    "editing": "age, gender, pose, smile, regions",
    "blending": "two parents to a child",
    "metrics": "held-out numbers; the verdict",
    "execution": "here, in a pool, on Ray",
    "store": "a face is inverted once",
    "report": "run folders, sheets, pages, films",
    "training": "encoder and preview heads",
    "batch": "tables of couples, resumable",
    "components": "names in configs to classes",
    "commands": "one dataclass a command",
    "cli": "Hydra, and it alone",
    "results": "what notebooks get",
    "api": "the verbs of a notebook",
    "__main__": "python -m gan_inversion",
    "app": "the page in the browser",
}
ROW, LEFT, TOP = 20, 372, 104  # pixels


def imported() -> dict[str, set[str]]:
    """Room -> those that any of its modules imports from."""
    found: dict[str, set[str]] = {room: set() for room in ORDER}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room != "__init__":
            found[room] |= imports_of(path) - {room}
    return found


def svg() -> str:
    """A row a room: its purpose, and a dot under each earlier room that it imports from; above the diagonal nothing."""
    imports, n = imported(), len(ORDER)
    width, height = LEFT + n * ROW + 16, TOP + n * ROW + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>The rooms of gan_inversion: each imports only from those before it</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{LEFT} {TOP}L{LEFT + n * ROW} {TOP + n * ROW}V{TOP}Z" fill="#f3f3f3"/>',
        f'<text x="{LEFT + n * ROW - 12}" y="{TOP + 28}" fill="#777" text-anchor="end">nothing here: no way back</text>',
    ]
    for i, room in enumerate(ORDER):
        y, x = TOP + i * ROW, LEFT + i * ROW
        lines += [
            f'<path d="M8 {y + ROW}H{LEFT + n * ROW}" stroke="#e4e4e4"/>',
            f'<text x="10" y="{y + 14}" font-weight="bold">{room}</text>',
            f'<text x="100" y="{y + 14}" fill="#444">{escape(PURPOSE[room])}</text>',
            f'<text transform="translate({x + 14} {TOP - 6}) rotate(-60)">{room}</text>',
            f'<rect x="{x + 4}" y="{y + 4}" width="12" height="12" fill="#bbb"/>',
        ]
        for other in sorted(imports[room], key=ORDER.index):
            lines.append(f'<circle cx="{LEFT + ORDER.index(other) * ROW + 10}" cy="{y + 10}" r="5" fill="#1f5fa8"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"
