"""Keys of commands that no other test shows: each moves something that comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gan_inversion import cli
from gan_inversion.blending.inheritance import Sibling
from gan_inversion.commands import PLACES
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from tests.batches import make_manifest
from tests.composed import command_of, compose
from tests.conftest import CHILD, TINY, Ran, latents

Run = Callable[..., Ran]
SEARCHING = [line for line in TINY if not line.startswith("start")] + ["start=best_of", "start.near=pixel"]
WITH_DEVICE = [name for name in PLACES if "device" in cli._body(name)]


@pytest.mark.parametrize("name", WITH_DEVICE)
def test_device_and_threads_are_set_before_any_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr("gan_inversion.runtime.configure", said.append)
    monkeypatch.setattr("gan_inversion.runtime.check_device", lambda device, remedy: said.append(device))
    needed = [f"{key}=[]" if key in ("photos", "latents") else f"{key}=x" for key in missing(name)]
    config = cli.OmegaConf.create(compose("threads=3", "device=cuda:7", *needed, script=name))
    command = cli.build_command(name, config, needed)
    assert said == [3, "cuda:7"]
    assert (command.threads, command.device) == (3, "cuda:7")


def missing(name: str) -> list[str]:
    return [key for key, value in cli._body(name).items() if value == "???" and name != "family"]


def ws_of(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "latents.safetensors")


@pytest.mark.parametrize("command", ["invert", "encode"])
def test_an_album_s_keys(command: str, run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """photos, face, seed, metrics, trace; encode: its inversion.steps of none, and its store.path of null."""
    steps = [] if command == "invert" else ["inversion.steps=0"]
    base = [command, f"photos=[{couple[0]}]", *[line for line in SEARCHING if "steps" not in line]]
    base += ["inversion.steps=2"] if command == "invert" else []
    run(*base, "output_dir=out")
    assert (tmp_path / "store").exists() == (command == "invert")
    document = json.loads((tmp_path / "out/metrics.json").read_text())["photos"]["dad"]
    assert document["steps"] == (2 if command == "invert" else 0)
    assert set(document["metrics"]) == {"mse", "psnr", "ms_ssim", "p_norm"}

    run(*base, "seed=4", "metrics=[mse]", "trace=1", "inversion.steps=1", "store.path=kept", "output_dir=other")
    found, other = (load_file(tmp_path / f"{name}/dad.safetensors")["ws"] for name in ("out", "other"))
    assert not torch.equal(found, other)
    document = json.loads((tmp_path / "other/metrics.json").read_text())["photos"]["dad"]
    assert (document["steps"], set(document["metrics"])) == (1, {"mse"})
    assert (tmp_path / "other/dad_trace.mp4").exists() and not (tmp_path / "out/dad_trace.mp4").exists()
    assert (tmp_path / "kept/inversions").exists()

    run(*base, *steps, f"photos=[{couple[0]},{couple[1]}]", "output_dir=both")
    assert (tmp_path / "both/mum.safetensors").exists() and not (tmp_path / "out/mum.safetensors").exists()
    assert "dad_face=1 needs aligner=ffhq" in run(*base, "face=1", "output_dir=no", code=1).stdout


@pytest.mark.parametrize("role", ["father", "mother"])
def test_a_face_of_a_parent_s_photograph(role: str, run: Run, couple: tuple[Path, Path]) -> None:
    """father_face and mother_face each reach the aligner, which here has one face to offer."""
    done = run("family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, f"{role}_face=1", code=1)
    assert f"{role}_face=1 needs aligner=ffhq" in done.stderr


def test_a_family_s_seed_diversity_and_metrics(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    base = ["family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, "siblings=2"]
    for i, change in enumerate(["seed=0", "seed=1", "diversity=0", "metrics=[mse]"]):
        run(*base, change, f"output_dir=out{i}")
    first, seeded, twins, measured = (ws_of(tmp_path / f"out{i}") for i in range(4))
    assert not torch.equal(first["child_01"], seeded["child_01"])
    assert not torch.equal(first["child_00"], first["child_01"])
    assert torch.equal(twins["child_00"], twins["child_01"])
    assert torch.equal(measured["child_01"], first["child_01"])
    father = json.loads((tmp_path / "out3/family.json").read_text())["parents"]["father"]
    assert set(father["metrics"]) == {"mse"}


def test_a_blend_s_keys(run: Run, generator: Tiny, tmp_path: Path) -> None:
    """father and mother, seed, siblings, siblings_only, diversity."""
    for seed, name in enumerate("abc"):
        save_latents(tmp_path / f"{name}.safetensors", {"ws": Latents(latents(generator, seed))}, generator.sha256)
    base = ["blend", "father=a.safetensors", "mother=b.safetensors", "generator=tiny", *CHILD, "siblings=2"]
    changes = ["seed=0", "seed=1", "siblings=3", "siblings_only=[1]", "diversity=0", "father=c.safetensors",
               "mother=c.safetensors"]  # fmt: skip
    found = {}
    for change in changes:
        run(*base, change, f"output_dir={change}")
        found[change] = ws_of(tmp_path / change)
    first, same = found["seed=0"], found["siblings=3"]
    assert sorted(same) == ["child_00", "child_01", "child_02"]
    assert torch.equal(same["child_01"], first["child_01"])
    assert list(found["siblings_only=[1]"]) == ["child_01"]
    assert torch.equal(found["diversity=0"]["child_00"], found["diversity=0"]["child_01"])
    for change in ("seed=1", "father=c.safetensors", "mother=c.safetensors"):
        assert not torch.equal(found[change]["child_00"], first["child_00"]), change


def test_diversity_and_siblings_of_a_batch(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    names = [path.rename(tmp_path / "photos" / path.name).name for path in couple]
    base = ["batch", f"manifest={make_manifest(tmp_path / 'couples.csv', 1, names)}", *TINY, *CHILD]
    run(*base, "siblings=2", "output_dir=out")
    run(*base, "siblings=2", "diversity=0", "output_dir=twins")
    (some,) = (tmp_path / "out/couples").iterdir()
    (twins,) = (tmp_path / "twins/couples").iterdir()
    assert not torch.equal(*[ws_of(some)[name] for name in ("child_00", "child_01")])
    assert torch.equal(*[ws_of(twins)[name] for name in ("child_00", "child_01")])


def test_the_seed_and_metrics_of_a_benchmark(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = "recipes.plain=['losses=[pixel]','start=best_of','start.near=pixel','inversion.steps=0']"
    base = ["benchmark", f"photos=[{couple[0]}]", "generator=tiny", "aligner=prealigned", "aligner.check=false", "threads=1",
            recipe, "~recipes.default", "points=0"]  # fmt: skip
    run(*base, "metrics=[mse]", "output_dir=out")
    run(*base, "metrics=[mse,psnr]", "seed=5", "output_dir=other")
    first, other = (
        json.loads((tmp_path / n / "benchmark.json").read_text())["mean"]["plain"] for n in ("out", "other")
    )
    assert first["mse"] != other["mse"]
    assert "psnr" in other and "psnr" not in first


def test_the_seed_of_the_demo_s_father(run: Run, tmp_path: Path) -> None:
    for seed in (3, 4):
        run("demo_photos", "generator=tiny", "threads=1", f"seed={seed}", f"output_dir=out{seed}")
    fathers, mothers = ({(tmp_path / f"out{s}" / n).read_bytes() for s in (3, 4)} for n in ("father.jpg", "mother.png"))
    assert (len(fathers), len(mothers)) == (2, 1)


def test_an_evaluation_s_children_and_metrics(generator: Tiny) -> None:
    """seed and diversity go to the children, metrics to the inversions."""
    keys = ["seed=4", "diversity=0.5", "metrics=[mse]", "inversion.require=null", *CHILD]
    command = command_of(compose("generator=tiny", *keys, script="evaluate_children"), "evaluate_children")
    (recipe,) = command.conception(generator).recipes.values()
    assert isinstance(recipe, Sibling)
    assert (recipe.seed, recipe.diversity) == (4, 0.5)
    assert command.task().metrics == ("mse",)


@pytest.mark.weights
def test_an_evaluation_of_alignment(run: Run, tmp_path: Path) -> None:
    """faces, seed and landmarks."""
    found = {}
    for change in ("faces=1", "faces=2", "seed=2", "landmarks=[mtcnn]"):
        run("evaluate_alignment", "faces=1", "landmarks=[mesh]", "threads=1", change, f"output_dir={change}")
        (found[change],) = json.loads((tmp_path / change / "metrics.json").read_text())["landmarks"]
    assert found["faces=2"]["faces"] == 2
    assert found["landmarks=[mtcnn]"]["landmarks"] == "mtcnn"
    assert len({row["to_frame_mean"] for row in found.values()}) == 4


TRAINING = ["threads=1", "generator=tiny", "held_out=1", "batch=2", "steps=2"]
COMMON = ["batch=3", "steps=3", "learning_rate=0.02", "seed=1", "held_out=2"]
TRAININGS = {
    "train_encoder": (["passes=1"], ["passes=2", "image_weight=2", "identity_weight=0"]),
    "train_preview_heads": (
        ["generator.resolution=256", "resolutions=[64]", "samples=3"],
        ["resolutions=[32]", "lpips_weight=2", "samples=4"],
    ),
}


@pytest.mark.weights
@pytest.mark.parametrize("name", TRAININGS)
def test_each_key_of_a_training_moves_what_is_trained(name: str, run: Run, tmp_path: Path) -> None:
    base, own = TRAININGS[name]
    file = f"{name.removeprefix('train_')}.safetensors"
    trained, rendered = set(), name == "train_preview_heads"
    for change in ["device=cpu", *COMMON, *own]:
        samples = [f"samples_dir={'seeded' if change.startswith('seed') else 'samples'}"] if rendered else []
        run(name, *TRAINING, *base, *samples, change, f"output_dir={change}")
        trained.add((tmp_path / change / file).read_bytes())
    assert len(trained) == 1 + len(COMMON) + len(own)
    if rendered:
        labels = [(tmp_path / folder / "samples.json").read_bytes() for folder in ("seeded", "samples")]
        assert labels[0] != labels[1]
