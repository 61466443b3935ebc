"""`inversion.require` in families and albums: what it refuses, and that it is part of the job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gan_inversion.errors import UserError
from gan_inversion.interfaces import Step
from gan_inversion.metrics.reconstruction import OF_IMAGES
from gan_inversion.report.progress import InversionBar
from tests.composed import command_of, compose, execute
from tests.conftest import CHILD, TINY


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gan_inversion.commands.common.judge", lambda: "identity_faceres")


def says(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setitem(OF_IMAGES, "identity_faceres", lambda a, b: value)


def call(script: str, *more: str) -> None:
    execute(compose(*TINY, "output_dir=out", "store.path=store", *more, script=script), script)


def test_a_finished_album_outlives_ctrl_c(couple: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """An inversion that was cut short is no refusal, which would be an answer."""
    arguments = [f"photos=[{couple[0]}]", "inversion.require=same_person", "store.path=null"]
    says(monkeypatch, 0.9)
    call("invert", *arguments)
    before = Path("out/metrics.json").read_bytes()

    def stop(self: InversionBar, step: Step) -> None:
        if step.step == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(InversionBar, "__call__", stop)
    says(monkeypatch, 0.3)
    with pytest.raises(KeyboardInterrupt):
        call("invert", *arguments)
    assert Path("out/metrics.json").read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        call("invert", *arguments, "output_dir=new")
    assert json.loads(Path("new/metrics.json").read_text())["photos"]["dad"]["status"] == "interrupted"


def test_an_accepted_family_is_not_one_of_a_stricter_run(
    couple: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [f"father={couple[0]}", f"mother={couple[1]}", *CHILD]
    says(monkeypatch, 0.3)
    call("family", *arguments, "inversion.require=warn")
    with pytest.raises(UserError, match=r"holds another job.* What differs: require."):
        call("family", *arguments, "inversion.require=same_person")
    assert Path("out/family.json").exists()
    with pytest.raises(UserError, match="someone else"):
        call("family", *arguments, "inversion.require=same_person", "overwrite=true")
    assert not Path("out/family.json").exists()
    call("family", *arguments, "inversion.require=warn")
    settings = json.loads(Path("out/family.json").read_text())["settings"]
    assert (settings["require"], settings["judge"]) == ("warn", "identity_faceres")


@pytest.mark.parametrize("require", ["warn", "null"])
def test_what_is_required_is_in_no_inversion_s_key(require: str) -> None:
    command: Any = command_of(compose(*TINY, f"inversion.require={require}"))
    assert "require" not in command.inverter().load().settings(0)["optimiser"]
    assert command.judging()["judge"] == ("identity_faceres" if require == "warn" else None)
