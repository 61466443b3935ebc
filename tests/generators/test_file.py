"""`generator=file`: every family through the whole job, from a file that is read and not run."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import gan_inversion as gi
from gan_inversion.assets import catalogue
from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import read_checkpoint, save_checkpoint
from gan_inversion.components import build
from gan_inversion.errors import UserError
from gan_inversion.generators.family import StyleGAN
from gan_inversion.generators.file import build_checkpoint, from_file
from gan_inversion.inversion.loop import Optimiser, invert
from gan_inversion.inversion.starts import Mean
from gan_inversion.latents import load_latents
from gan_inversion.losses.pixel import Pixel
from gan_inversion.report.run_folder import JOB
from gan_inversion.spaces.w import W
from gan_inversion.spaces.w_plus import WPlus
from gan_inversion.spaces.z import Z
from tests.conftest import CHILD, Ran, random_pixels
from tests.families import tiny_checkpoint
from tests.generators.test_stylegan3 import made

FAMILIES: dict[str, Callable[[], Checkpoint]] = {
    "stylegan": lambda: tiny_checkpoint("stylegan"),
    "stylegan2-skip": lambda: tiny_checkpoint("stylegan2"),
    "stylegan2-resnet": lambda: tiny_checkpoint("stylegan2", architecture="resnet"),
    "stylegan2-orig": lambda: tiny_checkpoint("stylegan2", architecture="orig"),
    "stylegan3-t": lambda: made("t16"),
    "stylegan3-r": lambda: made("r32"),
}
SHORT = ["losses=[pixel,delta_norm]", "metrics=[mse,p_norm]", "inversion.steps=3",
         "threads=1", "experiment=any_generator", "aligner=prealigned",
         "aligner.check=false"]  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def file_of(checkpoint: Checkpoint, folder: Path) -> Path:
    path = folder / "net.safetensors"
    save_checkpoint(path, checkpoint)
    return path


def two_photographs(generator: StyleGAN, folder: Path) -> list[Path]:
    paths = []
    for seed, name in enumerate(("dad", "mum")):
        Image.fromarray(random_pixels(seed, generator.resolution)).save(folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    return paths


def test_a_family_of_every_family(run: Callable[..., Ran], tmp_path: Path, family: str) -> None:
    """Two pictures in, a child out: read, cropped, inverted in W+, blended, drawn, stored, done again without a step."""
    path = file_of(FAMILIES[family](), tmp_path)
    father, mother = two_photographs(from_file(str(path)), tmp_path)
    job = ["family", f"father={father}", f"mother={mother}", "generator=file", f"generator.path={path}", *SHORT]
    run(*job, "output_dir=out")
    document = json.loads((tmp_path / "out" / "family.json").read_text())
    assert document["generator"] == family.partition("-")[0]
    losses = document["parents"]["father"]["losses"]
    assert np.isfinite(losses["total"])
    assert str(path) not in (tmp_path / "out" / JOB).read_text()  # its hash instead: paths name no content
    again = run(*job, "output_dir=again", "blend.weight=0.3")
    assert again.stdout.count("taken from the store") == 2


@pytest.mark.parametrize("space", [Z(), W(), WPlus(0.0)], ids=repr)
def test_every_space_improves(family: str, space: Any) -> None:
    generator = build_checkpoint(FAMILIES[family]())
    with torch.no_grad():
        ws = generator.mapping(torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(3)))
        target = generator.synthesis(ws[:, None].repeat(1, generator.num_ws, 1))
    trail: list[float] = []
    rates = {"learning_rate": 0.1, "betas": (0.9, 0.999), "warmup": 3}
    optimiser = Optimiser(8, (), (), **rates)  # type: ignore[arg-type]
    losses = {"pixel": Pixel(sizes=(generator.resolution,))}
    (found,) = invert(
        generator, target, space, Mean(), losses, optimiser, [0], ["a"], lambda step: trail.append(step.losses["total"])
    )
    assert found.losses["total"] < 0.9 * trail[0]


@pytest.mark.parametrize("name", [name for name in FAMILIES if "stylegan3" not in name])
def test_noise_is_optimised_where_there_is_any(run: Callable[..., Ran], tmp_path: Path, name: str) -> None:
    path = file_of(FAMILIES[name](), tmp_path)
    generator = from_file(str(path))
    father, mother = two_photographs(generator, tmp_path)
    noisy = [entry.replace("delta_norm]", "delta_norm,noise]") for entry in SHORT]
    job = ["family", f"father={father}", f"mother={mother}", "generator=file", f"generator.path={path}", *noisy]
    run(*job, "inversion.noise_maps=true", "output_dir=out")
    found = load_latents(tmp_path / "out" / "latents.safetensors", "father").noise
    assert [one.shape[-1] for one in found] == list(generator.network.noise_sides)


def test_latents_of_another_generator_are_refused(run: Callable[..., Ran], tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        paths.append(file_of(tiny_checkpoint("stylegan2", seed=seed), tmp_path / str(seed)))
    pictures = two_photographs(from_file(str(paths[0])), tmp_path)
    for i, path in enumerate(paths):
        given = [entry for entry in SHORT if not entry.startswith("experiment")]
        ours = ["generator=file", f"generator.path={path}", "start=mean", f"output_dir=inv{i}"]
        run("invert", f"photos=[{pictures[i]}]", *ours, *given)
    blend = ["blend", "father=inv0/dad.safetensors", "mother=inv1/mum.safetensors", "generator=file", *CHILD]
    done = run(*blend, f"generator.path={paths[0]}", code=1)
    assert "the mother's latents belong to another generator" in done.stderr
    assert "latents of different generators cannot be blended" in done.stderr


def node(path: Any, **keys: Any) -> dict[str, Any]:
    return {"_target_": "gan_inversion.generators.file.CheckpointSource", "path": str(path), **keys}


def test_keys_of_the_option(tmp_path: Path) -> None:
    """path, domain, class_label and precision each move something."""
    plain = file_of(tiny_checkpoint("stylegan2", num_fp16_res=2), tmp_path)
    generator = build(node(plain), "generator").load("cpu")
    assert generator.domain == "face"
    assert build(node(plain, domain="other"), "generator").load("cpu").domain == "other"
    reduced = build(node(plain, precision="original"), "generator").load("cpu")
    ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(0))
    difference = (reduced.synthesis(ws) - generator.synthesis(ws)).abs().max()
    assert 0 < difference < 0.05
    assert reduced.sha256 != generator.sha256
    (tmp_path / "c").mkdir()
    labelled = file_of(tiny_checkpoint("stylegan2", c_dim=3), tmp_path / "c")
    first, second = (build(node(labelled, class_label=i), "generator").load("cpu") for i in (0, 2))
    z = torch.randn(1, first.z_dim)
    assert not torch.equal(first.mapping(z), second.mapping(z))
    assert first.statistics().sha256 != second.statistics().sha256  # so the store keeps them apart
    assert build(node(labelled, class_label=0), "generator").load("cpu").sha256 != generator.sha256


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"domain": "cats"}, "generator.domain=cats: choose one of face, other"),
        ({"precision": "half"}, "generator.precision=half: choose one of float32, original"),
        ({"class_label": 1}, "this generator has no classes"),
        ({"path": "nothing.pkl"}, "nothing.pkl: there is no such file"),
    ],
)
def test_mistakes(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    path = file_of(tiny_checkpoint("stylegan2"), tmp_path)
    with pytest.raises(UserError, match=said):
        build(node(path) | keys, "generator").load("cpu")


@pytest.mark.parametrize("label", [None, 3, -1])
def test_a_conditional_generator_needs_a_class(tmp_path: Path, label: int | None) -> None:
    path = file_of(tiny_checkpoint("stylegan2", c_dim=3), tmp_path)
    with pytest.raises(UserError, match="choose one of its classes, 0 to 2"):
        build(node(path, class_label=label), "generator").load("cpu")


def test_the_catalogue_checks_what_was_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "fetched_dir", lambda: tmp_path)
    entry = catalogue.public_checkpoint("stylegan2_cat_config_f")
    assert entry is not None
    with pytest.raises(UserError, match="stylegan2_cat_config_f is not here"):
        from_file("stylegan2_cat_config_f")
    save_checkpoint(tmp_path / entry.file, tiny_checkpoint("stylegan2"))
    with pytest.raises(
        UserError, match="is not stylegan2_cat_config_f: it has resolution 32, not 256; num_ws 8, not 14"
    ):
        from_file("stylegan2_cat_config_f")
    right = dataclasses.replace(entry, expects={"family": "stylegan2", "resolution": 32, "num_ws": 8})
    monkeypatch.setattr("gan_inversion.generators.file.public_checkpoint", lambda name: right)
    found = from_file("stylegan2_cat_config_f")
    assert found.domain == "other"
    assert found.licence == entry.licence


def test_other_things_than_faces_are_cropped(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = file_of(tiny_checkpoint("stylegan2"), tmp_path)
    for name in ("dad", "mum"):
        Image.fromarray(np.full((60, 90, 3), 128, np.uint8)).save(tmp_path / f"{name}.png")
    keys = ["generator=file", f"generator.path={path}", "generator.domain=other"]
    run(
        "family", "father=dad.png", "mother=mum.png", *keys, *(e for e in SHORT if "aligner" not in e), "output_dir=out"
    )
    assert Image.open(tmp_path / "out" / "father.png").size == (32, 32)


@pytest.mark.weights
def test_in_a_notebook(tmp_path: Path) -> None:
    path = file_of(tiny_checkpoint("stylegan2", resolution=64), tmp_path)
    generator = gi.load_generator(path=str(path), domain="other")
    Image.fromarray(random_pixels(0, 80)).save(tmp_path / "cat.png")
    face = gi.load_face(tmp_path / "cat.png", generator=generator)
    assert face.pixels.shape == (64, 64, 3)
    options = {"steps": 2, "previews": (), "previews_until": ()}
    (found,) = gi.invert(generator, [face], start=Mean(), on_step=lambda step: None, **options)
    assert gi.blend(generator, found, found).shape == (1, 3, 64, 64)


def test_converting(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = file_of(tiny_checkpoint("stylegan2", c_dim=3), tmp_path)
    said = run("convert_weights", f"input={path}", "output=b.safetensors").stdout
    for line in (
        "family +stylegan2",
        "resolution +32 pixels",
        "classes +3",
        "the file says: format +",
        "licence +not in",
        "architecture +skip",
        "pictures seen in training +not in the file",
    ):
        assert re.search(line, said), line
    assert (tmp_path / "b.safetensors").read_bytes() != b""
    a, b = (from_file(str(p), class_label=0) for p in (path, tmp_path / "b.safetensors"))
    assert a.sha256 == b.sha256
    first, again = (read_checkpoint(tmp_path / name).facts for name in (path.name, "b.safetensors"))
    assert (again["converted_from"], again["converted_from_sha256"]) == (first["format"], first["file_sha256"])
    run("convert_weights", "input=b.safetensors", "output=c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert "exists" in run("convert_weights", f"input={path}", "output=b.safetensors", code=1).stderr
    run("convert_weights", f"input={path}", "output=b.safetensors", "overwrite=true")
    assert "must end in .safetensors" in run("convert_weights", f"input={path}", "output=b.pkl", code=1).stderr
    (tmp_path / "page.pkl").write_text("<!DOCTYPE html>")
    assert "a web page, not a checkpoint" in run("convert_weights", "input=page.pkl", code=1).stderr


def test_a_catalogue_entry_is_converted_with_its_licence(run: Callable[..., Ran], tmp_path: Path) -> None:
    missing = run("convert_weights", "input=stylegan2_ffhq_config_f", code=1).stderr
    assert "put it" in missing and "non-commercial" in missing
    checkpoint = dataclasses.replace(tiny_checkpoint("stylegan2"), facts={"licence": "CC0 \x1b[2J"})
    save_checkpoint(tmp_path / "free.safetensors", checkpoint)
    said = run("convert_weights", "input=free.safetensors").stdout
    assert re.search(r"\nlicence +CC0 \?\[2J\n", said), said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stylegan2_ffhq_config_g", "Did you mean stylegan2_ffhq_config_f?"),
        ("mobile_stylegan_ffhq", "generator=mobile_stylegan"),
        ("there/is/none.pkl", "there is no such file. Check the path"),
    ],
)
def test_names_that_are_no_checkpoint(name: str, said: str, run: Callable[..., Ran]) -> None:
    assert said in run("convert_weights", f"input={name}", code=1).stderr
    with pytest.raises(UserError, match=re.escape(said)):
        from_file(name)


def test_other_files_of_ours_are_called_by_their_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for name, said in (
        ("ws", "latents"),
        ("blocks.0.conv1.depthwise", "the default generator"),
        ("x", "tensors of unknown"),
    ):
        save_file({name: torch.ones(2)}, path)
        with pytest.raises(UserError, match=f"it holds {said}.*, not a StyleGAN generator"):
            from_file(str(path))


def test_the_mean_of_w_that_a_file_lacks_is_that_of_samples() -> None:
    checkpoint = tiny_checkpoint("stylegan2")
    lean = {name: tensor for name, tensor in checkpoint.state.items() if name != "mapping.w_avg"}
    generator = build_checkpoint(dataclasses.replace(checkpoint, state=lean))
    assert generator.w_avg.abs().max() > 0
    assert torch.equal(generator.w_avg, generator.statistics().mean)
    assert generator.sha256 == build_checkpoint(dataclasses.replace(checkpoint, state=lean)).sha256


def test_equal_networks_have_equal_hashes() -> None:
    """However their options are spelled; what changes a picture changes the hash."""
    plain = tiny_checkpoint("stylegan2")
    hashes = {
        build_checkpoint(dataclasses.replace(plain, options=options)).sha256
        for options in ({}, {"conv_clamp": None}, {"num_fp16_res": 4}, {"mapping_lr_multiplier": 0.01}, {"junk": 1})
    }
    assert len(hashes) == 1
    for change in ({"conv_clamp": 256}, {"mapping_lr_multiplier": 0.02}, {"activation": "relu"}):
        assert build_checkpoint(dataclasses.replace(plain, options=change)).sha256 not in hashes


@pytest.mark.parametrize(
    ("tensor", "value", "options", "said"),
    [
        ("mapping.fc0.weight", float("nan"), {}, "fc0.weight of this stylegan2 has numbers that are not finite"),
        ("mapping.w_avg", torch.zeros(5), {}, "not a complete stylegan2 generator"),
        ("synthesis.b4.conv1.weight", torch.zeros(0, 3, 3, 3), {}, "b4.conv1.weight is empty"),
        ("synthesis.b4.conv1.weight", torch.zeros(3), {}, "not a complete stylegan2 generator"),
        ("synthesis.b99999999.const", torch.zeros(1, 4, 4), {}, "it draws 99999999 pixels"),
        ("synthesis.b32.torgb.weight", torch.zeros(1, 8, 1, 1), {}, "channels; what is drawn here has three"),
        (None, None, {"mapping_lr_multiplier": "x"}, "not a complete stylegan2 generator"),
        (None, None, {"conv_clamp": 10**400}, "its option conv_clamp is neither a number of ordinary size nor a word"),
        (None, None, {"activation": [1]}, "not a complete stylegan2 generator|activation"),
    ],
)
def test_what_is_no_network_is_said(tensor: str | None, value: Any, options: dict[str, Any], said: str) -> None:
    checkpoint = tiny_checkpoint("stylegan2")
    state = dict(checkpoint.state)
    if tensor:
        state[tensor] = value if isinstance(value, torch.Tensor) else torch.full_like(state[tensor], value)
    with pytest.raises(UserError, match=said):
        build_checkpoint(Checkpoint("stylegan2", state, options))


def test_noise_maps_that_are_not_there(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = file_of(made("t16"), tmp_path)
    father, mother = two_photographs(from_file(str(path)), tmp_path)
    job = ["family", f"father={father}", f"mother={mother}", "generator=file", f"generator.path={path}", *SHORT]
    done = run(*job, "inversion.noise_maps=true", "output_dir=out", code=1)
    assert "this generator has no noise maps" in done.stdout + done.stderr
