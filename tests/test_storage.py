"""Files by name: the same on this machine, in memory and on an S3 server; what goes wrong is said with the place."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_inversion import storage
from gan_inversion.assets.catalogue import checkpoint_file
from gan_inversion.editing.files import Directions, load_directions, save_directions
from gan_inversion.errors import StorageError, UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import load_photo, save_photo_crop
from gan_inversion.inversion.encoder import encoder_sha256
from gan_inversion.report.run_folder import open_folder
from gan_inversion.storage import Folder, content_of, write_atomically

PLACES = ["local", "memory", pytest.param("s3", marks=pytest.mark.processes)]


class Server:
    """moto's S3, in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-p", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{self.url}/bucket", method="PUT"), timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise AssertionError("moto's server does not answer")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def environment(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """As documented for MinIO: no key of a config says where an s3:// is."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def forget_connections() -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    pytest.importorskip("moto", reason='moto is not installed: pip install "moto[server]"')
    pytest.importorskip("flask", reason='moto has no server: pip install "moto[server]"')
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folder:
    """An empty folder in the place asked for."""
    name = uuid.uuid4().hex
    if request.param == "local":
        return Folder(str(tmp_path / name))
    if request.param == "memory":
        return Folder(f"memory://{name}")
    environment(monkeypatch, request.getfixturevalue("s3").url)
    forget_connections()
    return Folder(f"s3://bucket/{name}")


everywhere = pytest.mark.parametrize("folder", PLACES, indirect=True)


@everywhere
def test_what_is_written_is_read(folder: Folder) -> None:
    large = os.urandom(6 * 2**20)
    for name, data in {
        "a.bin": b"one",
        "below/b.json": b"{}",
        "empty": b"",
        "ä [x] (1).png": b"odd",
        "l": large,
    }.items():
        folder.write(name, data)
        assert folder.read(name) == data
        assert folder.size(name) == len(data)
    folder.write("a.bin", b"another")
    assert folder.read("a.bin") == b"another"
    assert (folder / "below").read("b.json") == b"{}"
    assert folder.sizes() == {"a.bin": 7, "below/b.json": 2, "empty": 0, "l": len(large), "ä [x] (1).png": 3}
    assert folder.names() == ["a.bin", "below", "empty", "l", "ä [x] (1).png"]
    assert (folder / "below").names() == ["b.json"]


@everywhere
def test_many_are_read_at_once(folder: Folder) -> None:
    for i in range(20):
        folder.write(f"x/{i}", bytes([i]))
    found = folder.read_many([f"x/{i}" for i in range(0, 30, 2)])
    assert found == {f"x/{i}": bytes([i]) for i in range(0, 20, 2)}
    assert folder.read_many([]) == {}
    folder.write("a[b]*?", b"1")  # a name, no pattern
    assert folder.read_many(["a[b]*?", "x/*", "c[d]"]) == {"a[b]*?": b"1"}
    assert folder.size("a[b]*?") == 1
    assert folder.read_many(["x/*"]) == {}


@everywhere
def test_what_is_not_there(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        folder.read("nothing")
    assert (folder.size("nothing"), folder.sizes(), folder.names(), folder.read_many(["nothing"])) == (None, {}, [], {})
    folder.remove("nothing")
    folder.write("below/a", b"1")
    assert folder.size("below") is None
    folder.remove("below/a")
    assert folder.size("below/a") is None
    assert folder.sizes() == {}


@everywhere
def test_what_others_add_is_seen(folder: Folder) -> None:
    """A second process's files: listings must not be remembered."""
    folder.write("a", b"1")
    assert folder.names() == ["a"]
    assert folder.size("b") is None
    command = "import sys; from gan_inversion.storage import Folder; Folder(sys.argv[1]).write('b', b'22')"
    if folder.url.startswith("memory:"):
        Folder(folder.url).write("b", b"22")
    else:
        subprocess.run([sys.executable, "-c", command, folder.url], check=True)
    assert folder.names() == ["a", "b"]
    assert folder.sizes() == {"a": 1, "b": 2}
    assert folder.size("b") == 2
    assert folder.read("b") == b"22"


@everywhere
def test_a_folder_travels(folder: Folder) -> None:
    folder.write("a", b"1")
    assert pickle.loads(pickle.dumps(folder)).read("a") == b"1"
    assert (folder.local is not None) == (not folder.url.startswith(("s3:", "memory:")))


def check_errors(folder: Folder, message: str) -> None:
    """Each operation says where it failed."""
    for operation in (
        lambda: folder.write("a", b"1"),
        lambda: folder.read("a"),
        lambda: folder.read_many(["a", "b"]),
        lambda: folder.size("a"),
        folder.sizes,
        folder.names,
        lambda: folder.remove("a"),
        lambda: folder.written_at("a"),
    ):
        with pytest.raises(StorageError, match=message):
            operation()


@pytest.mark.processes
def test_a_bucket_that_is_missing(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, s3.url)
    forget_connections()
    with pytest.raises(StorageError, match=r"s3://nowhere/x/a: cannot be written .*bucket"):
        Folder("s3://nowhere/x").write("a", b"1")
    assert Folder("s3://nowhere/x").names() == []  # as of a folder that is not there; the first file written tells
    with pytest.raises(FileNotFoundError, match="s3://nowhere/x/a"):
        Folder("s3://nowhere/x").read("a")


@pytest.mark.processes
def test_a_server_that_is_gone(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_connections()
    begin = time.monotonic()
    check_errors(Folder("s3://bucket/x"), r"s3://bucket/x.*cannot be .*127\.0\.0\.1:9")
    assert time.monotonic() - begin < 60


@pytest.mark.processes
def test_no_credentials(s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment(monkeypatch, s3.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_connections()
    with pytest.raises(StorageError, match=r"s3://bucket/x/a: cannot be written \(.*credentials"):
        Folder("s3://bucket/x").write("a", b"1")


def test_a_storage_that_nobody_knows() -> None:
    for operation in (lambda folder: folder.read("a"), lambda folder: folder.size("a"), lambda folder: folder.names()):
        with pytest.raises(UserError, match=r"^nosuch://bucket/x: nosuch:// is not opened") as said:
            operation(Folder("nosuch://bucket/x"))
        assert not isinstance(said.value, StorageError)


# ------------------------------------------------------------------ this machine


def test_no_part_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a", b"old")

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match=r"a: cannot be written \(Input/output error\)"):
        write_atomically(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/a: cannot be written"):
        Folder(str(tmp_path / "file")).write("a", b"1")
    assert Folder(str(tmp_path / "file")).size("a") is None


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a disk: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(mounted: Path) -> None:
    folder = Folder(str(mounted))
    folder.write("a", b"1")
    with pytest.raises(StorageError, match=r"disk/b: cannot be written \(No space left on device\)"):
        folder.write("b", bytes(2 * 2**20))
    with pytest.raises(StorageError, match=r"disk/a: cannot be written"):
        folder.write("a", bytes(2 * 2**20))
    assert folder.sizes() == {"a": 1}  # what was there stays, and no half of the new


def test_a_disk_that_cannot_be_written(mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    with pytest.raises(StorageError, match=r"disk/x/a: cannot be written \(Read-only file system\)"):
        Folder(str(mounted)).write("x/a", b"1")


def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match=r"a: cannot be written \(Permission denied\)"):
            Folder(str(tmp_path)).write("a", b"1")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_is_hashed_once_as_long_as_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, hashed = tmp_path / "a", []
    real = storage.sha256_of_file
    monkeypatch.setattr(storage, "sha256_of_file", lambda file: hashed.append(file) or real(file))
    path.write_bytes(b"a")
    first = storage.remembered_sha256(path)
    assert (storage.remembered_sha256(str(path)), len(hashed)) == (first, 1)
    write_atomically(path, b"b")  # as long, and perhaps at the same time
    assert storage.remembered_sha256(path) != first
    with pytest.raises(UserError, match="none: cannot be read"):
        storage.remembered_sha256(tmp_path / "none")


def test_home_wherever_a_person_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_atomically("~/deep/a", b"x")
    assert (tmp_path / "deep/a").read_bytes() == b"x"
    assert storage.sha256_of_file("~/deep/a") == storage.remembered_sha256(tmp_path / "deep/a")
    assert Folder("~/deep").read("a") == b"x"
    assert Folder("~/deep").local == tmp_path / "deep"
    assert checkpoint_file("~/deep/a") == tmp_path / "deep/a"
    assert content_of("~/deep/a") == content_of(str(tmp_path / "deep/a")) != "~/deep/a"
    save_photo_crop("~/p.png", np.zeros((8, 8, 3), np.uint8))
    assert load_photo("~/p.png").pixels.shape == (8, 8, 3)
    assert open_folder("~/run", {}, {}, False, ["~/deep/a"]).root == tmp_path / "run"
    for missing in ("~nobody-here/x.png", "a\0b"):
        with pytest.raises(UserError, match="cannot be read"):
            load_photo(missing)


def test_home_of_trained_parts(generator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_directions(tmp_path / "d.safetensors", Directions({"age": torch.zeros(16)}), generator, {})
    assert list(load_directions("~/d.safetensors", generator).vectors) == ["age"]
    np.save(tmp_path / "smile.npy", np.zeros(16))
    assert list(load_directions("~/smile.npy", generator).vectors) == ["smile"]
    assert encoder_sha256("~/d.safetensors") == encoder_sha256(str(tmp_path / "d.safetensors"))
