"""The laws of the project, those that no other test holds. Where the others are:

1 frozen: inversion/test_loop.py::test_the_generator_stays_frozen
2 scored is returned: inversion/test_loop.py::test_what_is_returned_redraws_what_was_scored
3 a batch equals its faces: inversion/test_loop.py, jobs/test_inversions.py, and on the real generator below
4 count in = count out: scripts/test_scripts.py::test_an_album
5 same bits: scripts/test_scripts.py::test_twice_is_the_same_to_the_bit
6 optimised is not held out: evaluation/test_reconstruction.py::test_status_follows_the_losses
7 nothing is executed by being read: checkpoints/test_hostile.py, test_build.py::test_only_this_package_is_built
8 synthetic pictures say so: test_image.py, scripts/test_scripts.py::test_a_family
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

from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.components import build_inverter
from gan_inversion.interfaces import AlignedFace
from tests.conftest import ROOT, real
from tests.test_configs import compose

PACKAGE = ROOT / "gan_inversion"
ORDER = ["interfaces", "spelling", "storage", "image", "latents", "runtime", "checkpoints", "estimators", "losses",
         "generators", "faces", "spaces", "inversion", "directions", "blending", "evaluation", "report", "training", "jobs",
         "api", "build", "settings", "pipelines", "commands"]  # fmt: skip


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


def test_only_build_settings_and_commands_know_hydra() -> None:
    for path in PACKAGE.rglob("*.py"):
        knows = any(word in path.read_text() for word in ("import hydra", "from hydra", "omegaconf"))
        assert not knows or path.name in ("build.py", "settings.py", "commands.py"), path


@pytest.mark.processes
def test_importing_does_nothing() -> None:
    """Law 9: no network, no file written, no thread count, no random state, no environment."""
    modules = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"
    ]
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
    """Law 3, at 1024 pixels, five steps of the default recipe."""
    generator = real()
    faces = [AlignedFace(draw_face(generator, seed), f"face{seed}") for seed in (1, 2, 3, 6)]
    inverter = build_inverter(compose("inversion.steps=5"))
    together = inverter(faces, [0, 1, 2, 3])
    for seed in (0, 2):
        (alone,) = inverter([faces[seed]], [seed])
        assert torch.equal(alone.ws, together[seed].ws)
        assert alone.losses == together[seed].losses
    losses = [result.losses["total"] for result in together]
    assert len(set(losses)) == 4
