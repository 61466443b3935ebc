"""The scripts as a person runs them: a family, an album, a blend; again, interrupted, killed, in the wrong folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_inversion.faces import masks
from gan_inversion.image import load_photo
from tests.batches import fork
from tests.conftest import CHILD, ROOT, TINY, Ran
from tests.forks import Forked

Run = Callable[..., Ran]
PLAIN = [*CHILD, "diversity=0", "blend.path=lerp"]  # the mean of W+


def family(couple: tuple[Path, Path], *more: str) -> list[str]:
    return ["family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, *more]


def files(folder: Path) -> dict[str, bytes]:
    """All files of a run that must repeat: not the timings, and not the config's own paths."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith("timings.json")
    }


def test_a_family(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(*family(couple, "output_dir=out", "siblings=3", "trace=1"))
    assert "contact sheet: out/contact_sheet.png" in done.stdout
    out = tmp_path / "out"
    pictures = [
        "father",
        "mother",
        "father_inversion",
        "mother_inversion",
        "child_00",
        "child_01",
        "child_02",
        "contact_sheet",
    ]
    for name in pictures:
        with Image.open(out / f"{name}.png") as picture:
            synthetic = "Synthetic" in picture.info
            assert synthetic == (name not in ("father", "mother")), name  # law 8
            assert picture.size == (64, 64) or name == "contact_sheet"
    document = json.loads((out / "family.json").read_text())
    assert set(document["parents"]) == {"father", "mother"}
    assert document["parents"]["father"]["metrics"]["mse"]["status"] == "optimised"
    assert document["parents"]["father"]["metrics"]["ms_ssim"]["status"] == "held out"  # law 6
    assert document["generator_licence"]
    assert str(tmp_path) not in (out / "family.json").read_text()  # inputs by hash, no path
    assert "dad" not in (out / "family.json").read_text()
    assert len(document["children"]["child_01"]["mother_weights"]) == 8
    assert document["children"]["child_01"]["traits"] is None  # 64 pixels show none
    latents = load_file(out / "latents.safetensors")
    assert set(latents) == {"father", "mother", "child_00", "child_01", "child_02"}
    listed = {*document["files"], "family.json"}
    assert listed == {path.name for path in out.iterdir() if path.is_file()}
    seconds = json.loads((out / "timings.json").read_text())["seconds"]
    assert {"load", "align", "invert", "decode"} <= set(seconds)
    assert (out / ".hydra" / "config.yaml").exists()
    assert (out / "father_trace.mp4").stat().st_size > 1000


def test_the_sheet_of_a_traced_family_shows_the_mask(
    run: Run, couple: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the aligned photographs; the crops themselves stay as they are."""
    monkeypatch.setitem(masks.MASKS, "face", lambda image: torch.full_like(image[:, :1], 0.5))
    for name, more in (("plain", "trace=0"), ("shown", "trace=1")):
        run(
            *family(
                couple, f"output_dir={name}", "store.path=null", "losses.pixel.mask=face", "inversion.steps=1", more
            )
        )
    tile = (slice(36, 36 + 320), slice(36 + 334, 36 + 334 + 320))  # the father's crop
    sheets = [Image.open(tmp_path / name / "contact_sheet.png") for name in ("plain", "shown")]
    plain, shown = (np.asarray(sheet)[tile].astype(float) for sheet in sheets)
    assert abs(shown - (0.65 * plain + 0.35 * 255)).mean() < 1
    crops = [(tmp_path / name / "father.png").read_bytes() for name in ("plain", "shown")]
    assert crops[0] == crops[1]


@pytest.mark.processes
def test_twice_is_the_same_to_the_bit(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """Law 5: two runs, with other folders, workers and stores."""
    run(*family(couple, "output_dir=one", "store.path=null", "siblings=2"))
    run(*family(couple, "output_dir=two", "store.path=else", "siblings=2", "runner.workers=2"))
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_the_second_time_takes_no_step(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, "output_dir=out"))
    before = files(tmp_path / "out")
    done = run(*family(couple, "output_dir=out"))  # the same job goes on
    assert "taken from the store" in done.stdout
    assert files(tmp_path / "out") == before
    other = run(*family(couple, "output_dir=out2", "blend.weight=0.2"))  # another blend inverts nothing
    assert other.stdout.count("taken from the store") == 2
    assert files(tmp_path / "out2")["child_00.png"] != before["child_00.png"]
    assert files(tmp_path / "out2")["father_inversion.png"] == before["father_inversion.png"]


def test_nothing_is_overwritten_silently(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, "output_dir=out", "siblings=3"))
    before = files(tmp_path / "out")
    done = run(*family(couple, "output_dir=out", "seed=5"), code=1)
    assert "output_dir=out holds another job" in done.stderr
    assert files(tmp_path / "out") == before
    run(*family(couple, "output_dir=out", "seed=5", "overwrite=true"))
    assert not (tmp_path / "out" / "child_02.png").exists()  # no child of the earlier job is left


def test_one_sibling_is_replayed_alone(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, "output_dir=all", "siblings=4", "seed=7"))
    run(*family(couple, "output_dir=one", "siblings=4", "siblings_only=[3]", "seed=7"))
    assert (tmp_path / "all/child_03.png").read_bytes() == (tmp_path / "one/child_03.png").read_bytes()
    assert not (tmp_path / "one/child_00.png").exists()
    assert (tmp_path / "all/child_02.png").read_bytes() != (tmp_path / "all/child_03.png").read_bytes()


def test_one_photograph_of_both(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """The same face twice is inverted once, and its child is itself."""
    run(*family((couple[0], couple[0]), "output_dir=out", "diversity=0"))
    latents = load_file(tmp_path / "out" / "latents.safetensors")
    assert (latents["father"] == latents["mother"]).all()
    assert (latents["father"] - latents["child_00"]).abs().max() < 1e-5
    assert len(list((tmp_path / "store" / "inversions").glob("*/*.safetensors"))) == 1


def test_an_album(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """Count in = count out, and the good ones are done whatever the bad one is."""
    album = tmp_path / "album"
    album.mkdir()
    for path in couple:
        path.rename(album / path.name)
    (album / "broken.jpg").write_bytes(b"no picture")
    done = run("invert", f"photos=[{album}]", *TINY, "output_dir=inv", code=1)
    assert "2 of 3 inverted, 1 failed" in done.stdout
    assert "broken.jpg: not an image" in done.stdout
    document = json.loads((tmp_path / "inv" / "metrics.json").read_text())
    assert {name: row["status"] for name, row in document["photos"].items()} == {
        "broken": "failed", "dad": "done", "mum": "done",
    }  # fmt: skip
    assert document["n"] == 2
    mean = sum(document["photos"][n]["metrics"]["mse"]["value"] for n in ("dad", "mum")) / 2
    assert document["mean"]["mse"] == pytest.approx(mean)
    run(
        "blend", "father=inv/dad.safetensors", "mother=inv/mum.safetensors", "generator=tiny", "output_dir=kids", *PLAIN
    )
    father, mother = (load_file(tmp_path / f"inv/{n}.safetensors")["ws"] for n in ("dad", "mum"))
    child = load_file(tmp_path / "kids/latents.safetensors")["child_00"]
    assert ((father + mother) / 2 - child).abs().max() < 1e-5


def test_blend_gives_the_family_s_child(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run(*family(couple, "output_dir=out", "siblings=2", "blend=crossover"))
    latents = "out/latents.safetensors"
    run(
        "blend",
        f"father={latents}",
        f"mother={latents}",
        "generator=tiny",
        "siblings=2",
        "blend=crossover",
        *CHILD,
        "output_dir=kids",
    )
    for name in ("child_00", "child_01"):
        ours, theirs = (load_photo(tmp_path / folder / f"{name}.png").pixels for folder in ("out", "kids"))
        assert (ours == theirs).all()
    done = run(
        "blend",
        f"father={latents}",
        f"mother={latents}",
        "generator=tiny",
        "generator.seed=9",
        *CHILD,
        "output_dir=no",
        code=1,
    )
    assert "belong to another generator" in done.stderr
    assert not (tmp_path / "no").exists()


def start(couple: tuple[Path, Path], tmp_path: Path, *more: str) -> Forked:
    """A run in the midst of its first inversion."""
    script = str(ROOT / "scripts" / "family.py")
    command = [sys.executable, script, *family(couple, "inversion.steps=100000", "output_dir=out", *more)[1:]]
    process = fork(command, tmp_path)
    deadline = time.time() + 60
    while "inverting:" not in process.said_so_far():  # the bar
        assert time.time() < deadline
        time.sleep(0.1)
    time.sleep(1.5)
    return process


@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_saves_the_best_so_far(couple: tuple[Path, Path], tmp_path: Path, workers: int) -> None:
    process = start(couple, tmp_path, f"runner.workers={workers}")
    if workers == 2:
        time.sleep(8)  # workers take a moment to import
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "contact sheet" in out
    document = json.loads((tmp_path / "out" / "family.json").read_text())
    assert document["interrupted"] is True
    assert document["parents"]["father"]["stopped"] == "interrupted"
    with Image.open(tmp_path / "out" / "child_00.png") as picture:
        assert json.loads(picture.info["Synthetic"])["interrupted"] is True
    assert not (tmp_path / "store").exists()  # an unfinished inversion is never stored as a finished one


@pytest.mark.processes
def test_a_killed_run_leaves_nothing_half_written(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    process = start(couple, tmp_path)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "family.json").exists()
    assert not list(tmp_path.glob("store/**/*.json"))
    run(*family(couple, "output_dir=out", "overwrite=true"))
    assert json.loads((tmp_path / "out" / "family.json").read_text())["interrupted"] is False


def test_weights_missing_says_what_to_run(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(
        "family", f"father={couple[0]}", f"mother={couple[1]}", code=1, GAN_INVERSION_WEIGHTS=str(tmp_path / "w")
    )
    assert "is missing (expected sha256" in done.stderr
    assert "Run: python scripts/fetch_weights.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_fetch_weights_lists_licences(run: Run) -> None:
    done = run("fetch_weights", "list=true")
    assert "mobile_stylegan_ffhq" in done.stdout
    assert "NVIDIA Source Code License" in done.stdout
    assert "stylegan2-ffhq-config-f.pkl (family stylegan2, resolution 1024, num_ws 18)" in done.stdout
    assert "no weights called nothing" in run("fetch_weights", "only=[nothing]", code=1).stderr


def test_output_that_nobody_reads_to_its_end() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fetch_weights.py"), "list=true"]
    listing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert listing.stdout is not None and listing.stderr is not None
    listing.stdout.close()
    assert (listing.stderr.read(), listing.wait()) == (b"", 141)


def test_multirun_gives_each_job_its_folder(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run("family", "-m", *family(couple, "seed=0,1", "output_dir=out_${hydra:job.num}", "hydra.sweep.dir=sweep")[1:])
    assert (tmp_path / "out_0" / "family.json").exists()
    assert (tmp_path / "out_1" / "family.json").exists()


@pytest.mark.weights
def test_demo_photographs(run: Run, tmp_path: Path) -> None:
    run("demo_photos", "output_dir=photos")
    for name, width in (("father.jpg", 1862), ("mother.png", 512)):
        assert load_photo(tmp_path / "photos" / name).pixels.shape[1] == width


@pytest.mark.weights
def test_the_main_job_on_the_real_generator(run: Run, tmp_path: Path, loaded_workers: None) -> None:
    """A real photograph holding the mother, a drawn father, at 1024: four steps, twice, one and two workers, same bits."""
    run("demo_photos", "output_dir=photos")
    base = [
        "father=photos/father.jpg",
        "mother=photos/mother.png",
        "inversion.steps=4",
        "child.search=4",
        "threads=1",
        "metrics=[mse,ms_ssim]",
    ]
    run("family", *base, "output_dir=one", "store.path=null")
    run("family", *base, "output_dir=two", "store.path=null", "runner.workers=2")
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert [name for name in one if one[name] != two[name]] == []
    child = load_photo(tmp_path / "one" / "child_00.png").pixels
    assert child.shape == (1024, 1024, 3)
    assert child.std() > 20
    document = json.loads((tmp_path / "one" / "family.json").read_text())
    assert document["parents"]["mother"]["warnings"] == [
        "mother.png: the face has only 175 pixels a side; the inversion will be blurred."
    ]
    traits = document["children"]["child_00"]["traits"]
    assert {*traits} == {"father", "mother", "child", "between"}
    assert -90 <= traits["child"]["ita"] <= 90
    assert isinstance(traits["between"]["skin"], bool)
