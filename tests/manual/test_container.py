"""The Dockerfile, which nobody builds here: what it does to the lock is done, and what it names is there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import yaml

from gan_inversion.commands import PLACES
from tests.conftest import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
STEPS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]
LOCKED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def of(kind: str) -> list[str]:
    return [rest for step, rest in STEPS if step == kind]


def test_what_it_copies_is_there_and_not_ignored() -> None:
    copied = [word for rest in of("COPY") for word in rest.split()[:-1]]
    assert len(copied) == 8
    assert [name for name in copied if not (ROOT / name).exists()] == []
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line[1:] for line in lines if line.startswith("!")] == copied
    assert lines.index("weights/fetched") > lines.index("!weights") > lines.index("*")


def test_the_lock_without_cuda(tmp_path: Path) -> None:
    """Its own sed and awk, run on the lock: torch of another index, and all others but CUDA's with their hashes."""
    lock = (ROOT / "requirements.lock.txt").read_text()
    (tmp_path / "requirements.lock.txt").write_text(lock)
    (step,) = (rest for rest in of("RUN") if "TORCH_INDEX" in rest)
    for command in re.findall(r"((?:sed|awk) .*? > \w+\.txt)", step):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    versions = dict(LOCKED.findall(lock))
    expected = [f"{name}=={versions[name]}" for name in ("torch", "torchvision")]
    assert (tmp_path / "torch.txt").read_text().split() == expected
    rest = (tmp_path / "rest.txt").read_text()
    left_out = set(LOCKED.findall(lock)) - set(LOCKED.findall(rest))
    assert {name for name, _ in left_out if not name.startswith(("nvidia-", "cuda-"))} == {
        "torch",
        "torchvision",
        "triton",
    }
    assert len(left_out) > 10
    assert all("--hash=sha256:" in part for part in re.split(r"^(?=[\w.-]+==)", rest, flags=re.MULTILINE)[1:])


def test_it_runs_the_command_as_nobody_special() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert of("ENTRYPOINT") == ['["gan_inversion"]']
    assert 'gan_inversion = "gan_inversion.cli:main"' in project
    assert of("USER") == ["1000:1000"]
    assert "GAN_INVERSION_WEIGHTS=/weights" in of("ENV")[0]
    assert of("VOLUME") == ["/weights"]
    readme = (ROOT / "README.md").read_text()
    needed = re.search(r"apt install ([\w. -]+)`", readme)
    assert needed
    assert needed[1] in of("RUN")[0], "the README's libraries"


def test_the_manual_s_calls_are_commands() -> None:
    page = (ROOT / "docs" / "container.md").read_text()
    calls = [shlex.split(line, comments=True) for line in page.splitlines() if line.startswith("docker run")]
    assert {call[call.index("gan_inversion") + 1] for call in calls} == {"fetch_weights", "family"}
    assert {"fetch_weights", "family"} <= {*PLACES}


def test_python_is_the_lock_s() -> None:
    version = re.search(r"python:(3\.\d+)", of("FROM")[0])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert version
    assert f"python={version[1]}" in environment["dependencies"]
