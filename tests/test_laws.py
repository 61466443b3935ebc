"""The laws of the project, those that no other test holds. Where the others are:

1 frozen: inversion/test_loop.py::test_the_generator_stays_frozen
2 scored is returned: inversion/test_loop.py::test_what_is_returned_redraws_what_was_scored
3 a batch equals its faces: inversion/test_loop.py, store/test_inversions.py, and on the real generator below
4 count in = count out: commands/test_scripts.py::test_an_album
5 same bits: commands/test_scripts.py::test_twice_is_the_same_to_the_bit
6 optimised is not held out: metrics/test_reconstruction.py::test_status_follows_the_losses
7 nothing is executed by being read: checkpoints/test_hostile.py, test_components.py::test_only_this_package_is_built
8 synthetic pictures say so: test_image.py, commands/test_scripts.py::test_a_family
9 imports, below
10 unknown keys: test_configs.py
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_inversion.commands import PLACES
from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import AlignedFace
from gan_inversion.spaces.w_plus import WPlus
from tests.composed import build_inverter, compose
from tests.conftest import ROOT, drawn, make_inverter, real

PACKAGE = ROOT / "gan_inversion"
ORDER = ["errors", "interfaces", "storage", "image", "latents", "runtime", "checkpoints", "assets", "spaces", "estimators",
         "faces", "losses", "generators", "inversion", "editing", "blending", "metrics", "execution", "store", "report",
         "training", "batch", "components", "commands", "cli", "results", "api", "app", "__main__"]  # fmt: skip
LARGEST_ROOM = 17  # files
SHIM = (
    'from gan_inversion.cli import run\n\nif __name__ == "__main__":  # workers import this file too\n    run("{}")\n'
)


def imports_of(path: Path) -> set[str]:
    """Top-level modules of this package that a file imports, relative imports resolved."""
    place = path.relative_to(ROOT).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*place[: -node.level], *(node.module.split(".") if node.module else ()))
            names = [base] if len(base) > 1 else [(*base, alias.name) for alias in node.names]
            found |= {name[1] for name in names}
    return found - {"__version__"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_import_only_from_above(path: Path) -> None:
    place = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if place == "__init__":
        return
    allowed = ORDER[: ORDER.index(place) + 1]
    assert imports_of(path) <= set(allowed)


def test_only_the_command_line_knows_hydra() -> None:
    """By what is imported, also inside of functions."""
    knowing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in ("hydra", "omegaconf") for name in names):
                knowing.add(path.name)
    assert knowing == {"cli.py"}


def test_the_order_is_that_of_the_house() -> None:
    """Every room stands in it, and each is small enough to be looked through."""
    rooms = {path.with_suffix("").name for path in PACKAGE.iterdir() if not path.name.startswith("__pycache__")}
    assert rooms - {"__init__"} == set(ORDER)
    for room in PACKAGE.iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert len([path for path in room.iterdir() if path.name != "__pycache__"]) <= LARGEST_ROOM, room


def test_a_command_is_written_once() -> None:
    """Its script is a shim, its config has its name, and nothing else lists it."""
    for folder, suffix in (("scripts", ".py"), ("configs", ".yaml")):
        assert {path.stem for path in (ROOT / folder).glob(f"*{suffix}")} == set(PLACES)
    for name in PLACES:
        assert (ROOT / "scripts" / f"{name}.py").read_text() == SHIM.format(name)


def test_keys_of_results_do_not_know_where_code_lies(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component keeps its key when its class moves to another module, and gets another when its arithmetic
    changes."""
    face, inverter = drawn(generator, 1), make_inverter(generator)
    before = inverter.key(face, 0)
    monkeypatch.setattr(WPlus, "__module__", "gan_inversion.elsewhere")
    assert inverter.key(face, 0) == before
    monkeypatch.setattr(WPlus, "version", 2, raising=False)
    assert inverter.key(face, 0) != before


def test_settings_that_change_nothing_are_not_in_the_key(generator: Tiny) -> None:
    face, inverter = drawn(generator, 1), make_inverter(generator)
    same = make_inverter(generator, min_improvement=0.5, latent_noise_until=0.1)
    assert same.key(face, 0) == inverter.key(face, 0)
    noisy = make_inverter(generator, latent_noise=0.1)
    assert make_inverter(generator, latent_noise=0.1, latent_noise_until=0.1).key(face, 0) != noisy.key(face, 0)
    patient = make_inverter(generator, patience=3)
    assert make_inverter(generator, patience=3, min_improvement=0.5).key(face, 0) != patient.key(face, 0)


@pytest.mark.processes
def test_importing_does_nothing() -> None:
    """Law 9: no network, no file written, no thread count, no random state, no environment."""
    modules = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"
    ]
    assert len(modules) > 100
    code = f"""
import os, socket, torch, random
def refuse(*a, **k): raise AssertionError("network")
socket.socket.connect = refuse
import importlib
import contextlib, cv2, hydra, PIL.Image, tqdm, yaml, safetensors
with contextlib.suppress(ImportError):
    import ray  # sets a variable of its own
before = torch.get_num_threads(), torch.random.get_rng_state().sum(), random.getstate(), dict(os.environ)
for name in {modules!r}:
    importlib.import_module(name)
after = torch.get_num_threads(), torch.random.get_rng_state().sum(), random.getstate(), dict(os.environ)
assert before == after
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.weights
def test_a_batch_of_four_is_four_singles_on_the_real_generator() -> None:
    """Law 3, at 1024 pixels, three steps of the default recipe."""
    generator = real()
    faces = [AlignedFace(draw_face(generator, seed), f"face{seed}") for seed in (1, 2, 3, 6)]
    inverter = build_inverter(compose("inversion.steps=3"))
    together = inverter(faces, [0, 1, 2, 3])
    for seed in (0, 2):
        (alone,) = inverter([faces[seed]], [seed])
        assert torch.equal(alone.ws, together[seed].ws)
        assert alone.losses == together[seed].losses
    losses = [result.losses["total"] for result in together]
    assert len(set(losses)) == 4
