"""Looking after a store: what is listed, found damaged, pruned and forgotten is what is there, and nothing else goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_inversion.faces.aligner import Prepared
from gan_inversion.image import load_photo, save_photo_crop
from gan_inversion.interfaces import Inversion
from gan_inversion.store.maintenance import contents
from gan_inversion.store.store import Record, Store, face_key
from tests.conftest import CHILD, TINY, Ran, random_pixels

ALIGNER = Prepared(64, check=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two photographs with a crop and two inversions each; the third shares the second's inversions."""
    store = Store(str(tmp_path / "store"))
    for i in range(3):
        save_photo_crop(tmp_path / f"p{i}.png", random_pixels(i))
        photo = load_photo(tmp_path / f"p{i}.png")
        store.put_face(face_key(photo, ALIGNER, None), ALIGNER(photo, f"p{i}"), photo)
        for seed in range(2):
            key = f"{min(i, 1)}{seed}" + "0" * 62
            store.put(key, Record(Inversion(torch.full((2, 2), float(seed)), "g"), {"mse": 1.0}, 2.0), photo.sha256)
    return store


def names(store: Store) -> set[str]:
    root = Path(store.path or "")
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_faces_come_back_under_the_names_of_today(store: Store, tmp_path: Path) -> None:
    photo = load_photo(tmp_path / "p0.png")
    face = store.get_face(face_key(photo, ALIGNER, None), "father", photo)
    assert face is not None
    assert face.name == "father"
    assert (face.pixels == random_pixels(0)).all()
    assert store.get_face(face_key(photo, Prepared(32, check=False), None), "father", photo) is None
    assert face_key(photo, ALIGNER, 0) != face_key(photo, ALIGNER, None)


def test_list(store: Store, run: Callable[..., Ran]) -> None:
    said = run("store", f"store.path={store.path}").stdout
    assert "3 aligned faces" in said
    assert "4 inversions" in said
    assert "3 photographs" in said


def test_verify_finds_what_is_damaged(store: Store, run: Callable[..., Ran]) -> None:
    assert "7 whole, 0 damaged, 0 incomplete" in run("store", "do=verify", f"store.path={store.path}").stdout
    root = Path(store.path or "")
    victim = next(iter(sorted((root / "inversions").glob("*/*.safetensors"))))
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    (next(iter(sorted((root / "faces").glob("*/*.json"))))).unlink()
    done = run("store", "do=verify", f"store.path={store.path}", code=1)
    assert "5 whole, 1 damaged, 1 incomplete" in done.stdout
    assert victim.stem in done.stderr


def test_forgetting_a_photograph(store: Store, tmp_path: Path, run: Callable[..., Ran]) -> None:
    before, sha = names(store), load_photo(tmp_path / "p1.png").sha256
    said = run("store", f"forget={tmp_path / 'p1.png'}", f"store.path={store.path}").stdout
    gone = before - names(store)
    assert gone == {line for line in said.splitlines() if "/" in line and ":" not in line}
    assert {name.split("/")[0] for name in gone} == {"faces", "inversions", "photos"}
    assert not any(sha in name for name in names(store))
    assert not (Path(store.path or "") / "photos" / sha).exists()
    # the third photograph shares the second's inversions: they are gone, its note of them too, its crop is not
    left = contents(store)
    third = load_photo(tmp_path / "p2.png")
    assert [kind for kind, _ in left.photos[third.sha256]] == ["faces"]
    assert store.get_face(face_key(third, ALIGNER, None), "x", third) is not None
    assert len(left.photos[load_photo(tmp_path / "p0.png").sha256]) == 3
    assert "knows nothing of it" in run("store", f"forget={sha}", f"store.path={store.path}", code=1).stderr


def test_forgetting_by_hash_and_what_was_set_aside(store: Store, tmp_path: Path, run: Callable[..., Ran]) -> None:
    key = "00" + "0" * 62
    path = Path(store.path or "") / "inversions/00" / f"{key}.json"
    path.write_bytes(b"{}")
    assert store.get(key) is None  # set aside
    sha = load_photo(tmp_path / "p0.png").sha256
    run("store", f"forget={sha}", f"store.path={store.path}")
    assert not any(key in name or sha in name for name in names(store))


def test_prune_takes_rubbish_only(store: Store, run: Callable[..., Ran]) -> None:
    root, whole = Path(store.path or ""), names(store)
    rubbish = {
        "inversions/aa/aa11.safetensors": 7200,  # its marker never came
        "inversions/aa/.aa22.json.99.part": 7200,
        "faces/bb/bb33.png.damaged": 0,
        f"photos/{'c' * 64}/faces-dd44": 7200,  # made of a photograph, and gone
    }
    live = {"inversions/aa/aa55.safetensors": 10, "inversions/aa/.aa66.json.99.part": 10}
    for name, age in {**rubbish, **live}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
        os.utime(root / name, (time.time() - age,) * 2)
    assert "4 files removed" in run("store", "do=prune", f"store.path={store.path}").stdout
    assert names(store) == whole | set(live)


def test_prune_by_age(store: Store, run: Callable[..., Ran]) -> None:
    root = Path(store.path or "")
    for path in root.rglob("*"):
        if path.name.startswith("00") or "-00" in path.name:
            os.utime(path, (time.time() - 40 * 86400,) * 2)
    run("store", "do=prune", "keep_days=60", f"store.path={store.path}")
    assert store.get("00" + "0" * 62) is not None
    assert list(root.glob("photos/*/*-00*"))
    run("store", "do=prune", "keep_days=30", f"store.path={store.path}")
    assert store.get("00" + "0" * 62) is None
    assert not list(root.glob("photos/*/*-00*"))
    assert store.get("01" + "0" * 62) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["do=burn"], "choose one of list, verify, prune"),
        (["keep_days=3"], "keep_days needs do=prune"),
        (["store.path=null"], "name the store"),
        (["store.path=nowhere"], "there is no store"),
        (["forget=nobody.jpg"], "nobody.jpg: cannot be read"),
    ],
)
def test_mistakes(store: Store, run: Callable[..., Ran], arguments: list[str], message: str) -> None:
    assert message in run("store", f"store.path={store.path}", *arguments, code=1).stderr


def test_what_other_scripts_invert_can_be_forgotten(
    couple: tuple[Path, Path], tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, "output_dir=out")
    store = Store(str(tmp_path / "store"))
    assert len(contents(store).entries) == 2
    run("store", f"forget={couple[0]}")
    assert len(contents(store).entries) == 1
