"""What is kept of visitors, how many may come, and where the page is found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_inversion.app.server import listening
from gan_inversion.app.sessions import PREFIX, Sessions
from gan_inversion.app.wishes import name_of
from gan_inversion.errors import UserError


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Sessions(minutes=1, visitors=2, per_minute=3, leave=lambda token: None)
    yield made
    made.close()
    assert [*tmp_path.iterdir()] == []


def test_who_has_not_been_seen_for_minutes_is_forgotten(sessions: Sessions) -> None:
    old, new = sessions.of("old"), sessions.of("new")
    (old.folder / "dad.jpg").write_bytes(b"a face")
    address = old.token, "dad.jpg"
    assert sessions.file(*address) == old.folder / "dad.jpg"
    sessions.end_the_unused()
    assert old.folder.exists()
    old.used -= 61
    sessions.end_the_unused()
    assert not old.folder.exists() and new.folder.exists()
    assert sessions.file(*address) is None


def test_so_many_visitors_and_no_more(sessions: Sessions) -> None:
    sessions.of("one")
    sessions.of("two")
    with pytest.raises(UserError, match="2 visitors are here already"):
        sessions.of("three")
    sessions.end("one")
    assert sessions.of("three").folder.is_dir()


def test_so_many_jobs_a_minute(sessions: Sessions) -> None:
    one = sessions.of("one")
    for _ in range(3):
        sessions.admit(one)
    with pytest.raises(UserError, match="3 pictures a minute is the most"):
        sessions.admit(one)
    one.asked[0] -= 61
    sessions.admit(one)


def test_nobody_sees_what_is_beside_a_visit(sessions: Sessions) -> None:
    one, other = sessions.of("one"), sessions.of("other")
    (other.folder / "mum.jpg").write_bytes(b"a face")
    assert sessions.file(one.token, f"../{other.token}/mum.jpg") is None
    assert sessions.file("", "mum.jpg") is None
    assert sessions.file("é", "x") is None
    assert sessions.file(one.token, "a" * 5000) is None and sessions.file(one.token, "a\0") is None


def test_what_a_job_writes_after_its_visit_goes_too(sessions: Sessions) -> None:
    folder = sessions.of("one").folder
    kept = sessions.of("other").folder
    sessions.end("one")
    (folder / "view").mkdir(parents=True)
    sessions.end_the_unused()
    assert not folder.exists() and kept.exists() and (sessions.root / "uploads").exists()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("C:\\fotos\\it's dad.jpg", "it's dad.jpg"),
        ("../../.ssh/id", "id"),
        ("${oc.env:HOME}.png", "oc.env:HOME.png"),
        ("\N{PILE OF POO}" * 90 + ".jpeg", "\N{PILE OF POO}" * 20 + ".jpeg"),
        ("...", "photograph"),
    ],
)
def test_names_are_names(sent: str, name: str) -> None:
    assert name_of(sent) == name


def test_what_a_killed_page_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    nobody = next(number for number in range(2**22, 2, -1) if not Path(f"/proc/{number}").exists())
    for number in (nobody, os.getpid()):
        (tmp_path / f"{PREFIX}{number}_x").mkdir()
    Sessions(1, 1, 1, lambda token: None).close()
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}{os.getpid()}_x"]


def test_the_address_that_was_asked_for() -> None:
    with listening("127.0.0.1", 0) as door:
        host, port = door.getsockname()
        assert host == "127.0.0.1"
        door.listen()
        with pytest.raises(UserError, match=f"port={port}"), listening("127.0.0.1", port):
            pass
    with pytest.raises(UserError, match=r"host=203\.0\.113\.9 port=0"), listening("203.0.113.9", 0):
        pass
