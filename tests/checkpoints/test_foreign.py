"""Foreign checkpoints: every format is read as what it is, and nothing in any of them is executed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import read_checkpoint, save_checkpoint
from gan_inversion.generators.file import build_checkpoint
from gan_inversion.interfaces import UserError
from tests.checkpoints import forged, hostile
from tests.conftest import ROOT
from tests.families import variables_of_2019
from tests.seeded import fill, stylegan2_shapes

SIZES: dict[str, Any] = {"channel_base": 128, "channel_max": 8}


def stylegan2(architecture: str = "skip", c_dim: int = 0, **options: Any) -> Checkpoint:
    """Random, but for the filters, which have one shape in all formats."""
    state = fill(stylegan2_shapes(16, architecture, c_dim=c_dim, **SIZES), 7)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    filters = {name: torch.outer(taps, taps) / 64 for name in state if name.endswith("resample_filter")}
    given = {
        "activation": "lrelu",
        "architecture": architecture,
        "conv_clamp": None,
        "num_fp16_res": 0,
        "use_noise": True,
    }
    mapping = {"mapping_activation": "lrelu", "mapping_lr_multiplier": 0.01}
    return Checkpoint("stylegan2", {**state, **filters}, given | mapping | options)


def assert_same(found: Checkpoint, wanted: Checkpoint, exactly: bool = True) -> None:
    assert found.family == wanted.family
    assert set(found.state) == set(wanted.state)
    for name, tensor in wanted.state.items():
        assert found.state[name].shape == tensor.shape, name
        assert torch.allclose(found.state[name], tensor, rtol=0 if exactly else 1e-6, atol=0), name


def attributes_of(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """What NVIDIA's modules remember of their options."""
    options = checkpoint.options
    found: dict[str, dict[str, Any]] = {"mapping.fc0": {"activation": "lrelu", "bias_gain": np.float64(0.01)}}
    for side in (4, 8, 16):
        half = side > 16 // 2 ** options["num_fp16_res"]
        found[f"synthesis.b{side}"] = {"architecture": options["architecture"], "use_fp16": half}
        found[f"synthesis.b{side}.conv1"] = {
            "conv_clamp": options["conv_clamp"],
            "activation": "lrelu",
            "use_noise": True,
        }
    return found


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(("c_dim", "clamp", "half"), [(0, None, 0), (3, 256, 2)])
def test_nvidia_s_pytorch_pickles(
    tmp_path: Path, architecture: str, c_dim: int, clamp: float | None, half: int
) -> None:
    wanted = stylegan2(architecture, c_dim, conv_clamp=clamp, num_fp16_res=half)
    data = {"training_set_kwargs": {"path": "/sets/cats.zip", "max_size": 70}, "cur_nimg": 25000}
    path = tmp_path / "net.txt"  # known by content, not by name
    path.write_bytes(forged.nvidia_torch(wanted, attributes_of(wanted), **data))
    found = read_checkpoint(path)
    assert_same(found, wanted)
    assert found.options == wanted.options
    assert found.facts.items() >= {
        "format": "NVIDIA PyTorch pickle", "training_set": "cats.zip", "training_images": 70, "images_seen": 25000,
    }.items()  # fmt: skip
    assert len(found.facts["file_sha256"]) == 64
    assert not {"dnnlib", "torch_utils"} & set(sys.modules)


def test_stylegan3_s_options_are_those_it_was_made_with(tmp_path: Path) -> None:
    state = {
        "mapping.w_avg": torch.zeros(4),
        "mapping.fc0.weight": torch.zeros(4, 4),
        "synthesis.input.freqs": torch.ones(2, 2),
    }
    attributes = {
        "": {"_init_kwargs": {"channel_base": 512, "magnitude_ema_beta": 0.9, "synthesis_kwargs": {"num_layers": 6}}},
        "synthesis": {"margin_size": 8, "_init_kwargs": {"use_radial_filters": True}},
    }
    path = tmp_path / "sg3.pkl"
    path.write_bytes(forged.nvidia_torch(Checkpoint("stylegan3", state), attributes))
    found = read_checkpoint(path)
    assert found.family == "stylegan3"
    wanted = {"channel_base": 512, "num_layers": 6, "margin_size": 8, "use_radial_filters": True}
    assert {key: found.options[key] for key in wanted} == wanted


TF2 = {"Conv/weight": (3, 2, 0, 1), "Conv1/weight": (3, 2, 0, 1), "ToRGB/weight": (3, 2, 0, 1)}


def tensorflow_of(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """A StyleGAN2 of ours as TensorFlow's variables, written down apart from the table that reads them."""
    found = {}
    for name, tensor in checkpoint.state.items():
        value, parts = tensor.numpy(), name.split(".")
        if name.endswith("resample_filter"):
            continue
        if parts[0] == "mapping":
            layer = {"embed": "LabelEmbed"}.get(parts[1], parts[1].replace("fc", "Dense"))
            found["dlatent_avg" if name == "mapping.w_avg" else f"mapping/{layer}/{parts[2]}"] = value.T
            continue
        side = int(parts[1][1:])
        scope = f"synthesis/{side}x{side}"
        if parts[2] == "const":
            found[f"{scope}/Const/const"] = value[None]
            continue
        layer = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB", "skip": "Skip"}[
            parts[2]
        ]
        what = ".".join(parts[3:])
        if what == "noise_const":
            number = 0 if side == 4 else 2 * int(np.log2(side)) - 5 + int(parts[2] == "conv1")
            found[f"synthesis/noise{number}"] = value[None, None]
        elif what == "weight":
            turned = value.transpose(2, 3, 1, 0)
            found[f"{scope}/{layer}/weight"] = turned[::-1, ::-1] if layer in ("Conv0_up", "Skip") else turned
        elif what == "affine.bias":
            found[f"{scope}/{layer}/mod_bias"] = value - 1
        else:
            found[f"{scope}/{layer}/{what.replace('affine.', 'mod_')}"] = value.T
    return found


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_nvidia_s_tensorflow_pickles_of_stylegan2(tmp_path: Path, architecture: str) -> None:
    wanted = stylegan2(architecture, c_dim=3, conv_clamp=256.0)
    kwargs = {"resolution": 16, "architecture": architecture, "conv_clamp": 256.0, "label_size": 3, "fmap_base": 64}
    variables = {"lod": np.float32(0), **tensorflow_of(wanted)}
    if architecture == "orig":
        variables = {name.replace("16x16/ToRGB", "ToRGB_lod0"): value for name, value in variables.items()}
    path = tmp_path / "net.pkl"
    path.write_bytes(forged.nvidia_tf(kwargs, variables, "training.networks_stylegan2.G_main"))
    found = read_checkpoint(path)
    assert_same(found, wanted, exactly=False)
    assert found.options == wanted.options
    assert found.facts["network"] == "training.networks_stylegan2.G_main"


def test_nvidia_s_tensorflow_pickles_of_stylegan(tmp_path: Path) -> None:
    kwargs = {"resolution": 16, "latent_size": 8, "dlatent_size": 8, "mapping_fmaps": 8, "mapping_layers": 2,
              "fmap_base": 64, "fmap_max": 8}  # fmt: skip
    path = tmp_path / "net.pkl"
    path.write_bytes(forged.nvidia_tf(kwargs, variables_of_2019(kwargs, 3), "training.networks_stylegan.G_style"))
    found = read_checkpoint(path)
    assert found.family == "stylegan"
    assert build_checkpoint(found).resolution == 16


@pytest.mark.parametrize(
    ("variable", "kwargs", "said"),
    [
        ("synthesis/8x8/Extra/weight", {}, "its variables synthesis/8x8/Extra/weight are unknown"),
        (None, {"truncation_of": 3}, "its argument truncation_of is unknown"),
        (None, {"num_channels": 1}, "num_channels=1: only 3 can be drawn"),
    ],
)
def test_a_changed_tensorflow_network_is_said(tmp_path: Path, variable: str, kwargs: dict[str, Any], said: str) -> None:
    variables = tensorflow_of(stylegan2()) | ({variable: np.zeros(3, np.float32)} if variable else {})
    (tmp_path / "net.pkl").write_bytes(forged.nvidia_tf(kwargs, variables, "G"))
    with pytest.raises(UserError, match=said):
        read_checkpoint(tmp_path / "net.pkl")


FORMS: dict[str, Callable[[dict[str, Any], torch.Tensor], bytes]] = {
    "zip": lambda part, mean: forged.saved({"g_ema": part, "g": part, "latent_avg": mean}),
    "older": lambda part, mean: forged.saved({"g_ema": part, "latent_avg": mean}, new=False),
    "pSp": lambda part, mean: forged.saved(forged.psp(part, mean, 6)),
    "data parallel": lambda part, mean: forged.saved(
        {"g_ema": {f"module.{name}": tensor for name, tensor in part.items()}, "latent_avg": mean}
    ),
    "half precision": lambda part, mean: forged.saved(
        {"g_ema": {name: tensor.double() for name, tensor in part.items()}, "latent_avg": mean}
    ),
    "plain pickle": lambda part, mean: pickle.dumps({"g_ema": part, "latent_avg": mean}),
}


@pytest.mark.parametrize("form", FORMS)
def test_rosinality_s(tmp_path: Path, form: str) -> None:
    wanted = stylegan2()
    (tmp_path / "net.pkl").write_bytes(FORMS[form](forged.rosinality(wanted), wanted.state["mapping.w_avg"]))
    found = read_checkpoint(tmp_path / "net.pkl")
    assert_same(found, wanted, exactly=False)
    assert found.options == {"mapping_lr_multiplier": 0.01}


def test_without_the_mean_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(forged.saved(forged.rosinality(stylegan2())))
    found = read_checkpoint(tmp_path / "net.pt")
    assert found.facts["w_avg"] == "not in the file: zeros"
    assert not found.state["mapping.w_avg"].any()


def test_a_state_dict_of_nvidia_s(tmp_path: Path) -> None:
    wanted = stylegan2("resnet")
    (tmp_path / "tuned.pt").write_bytes(forged.saved(dict(wanted.state)))
    assert_same(read_checkpoint(tmp_path / "tuned.pt"), wanted)


def test_our_own(tmp_path: Path) -> None:
    wanted = stylegan2("orig", conv_clamp=3)
    save_checkpoint(tmp_path / "a.safetensors", wanted)
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert_same(found, wanted)
    assert found.options == wanted.options
    save_checkpoint(tmp_path / "b.safetensors", wanted)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert build_checkpoint(found).sha256 == build_checkpoint(wanted).sha256


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"D": 3, "epoch": 1}, "no generator in it: it holds D, epoch"),
        ({"state_dict": {"encoder.a": torch.ones(2)}}, "no generator in it: it holds state_dict"),
        ([1, 2], "no TensorFlow generator in it"),
        ("text", "no checkpoint: it holds a str"),
        (
            {"g_ema": {"conv1.conv.modulation.weight": torch.ones(2, 2), "odd": torch.ones(1)}},
            "its tensors odd are unknown",
        ),
    ],
)
def test_what_is_no_generator(tmp_path: Path, tree: Any, said: str) -> None:
    (tmp_path / "net.pt").write_bytes(forged.saved(tree))
    with pytest.raises(UserError, match=said) as error:
        read_checkpoint(tmp_path / "net.pt")
    assert str(error.value).startswith(f"{tmp_path / 'net.pt'}: ")
    assert "What can be read: NVIDIA's pickles" in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_checkpoint(tmp_path / "nothing.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        read_checkpoint(tmp_path)


# ------------------------------------------------------------------ hostile


@pytest.mark.processes
def test_hostile_files(tmp_path: Path) -> None:
    """Each gives one clear error, runs nothing, and needs neither memory nor time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.checkpoints.hostile", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = [hostile.Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(hostile.FILES) >= 60
    for outcome in outcomes:
        assert outcome.kind == "UserError", outcome
        assert "file.pkl: " in outcome.said, outcome
        assert not outcome.canary, outcome
        assert outcome.seconds < 5, outcome
        assert outcome.megabytes < 2 * outcome.size / 2**20 + 64, outcome


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """The hostile pickles do harm where pickles are trusted."""
    canary = tmp_path / "canary"
    pickle.loads(hostile.FILES["os.system"](canary))
    assert canary.exists()


VALID = [
    hostile.good(),
    forged.saved({"g_ema": {"conv1.conv.modulation.weight": torch.zeros(3, 3)}}, new=False),
    forged.nvidia_torch(stylegan2(), attributes_of(stylegan2())),
    forged.nvidia_tf({"resolution": 16}, tensorflow_of(stylegan2()), "G_main"),
]
OPCODES = bytes(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False)
@given(
    which=st.sampled_from(range(len(VALID))),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=9), st.integers(0, 9)), max_size=6),
    end=st.floats(0, 1.2),
)
def test_fuzz_damaged_files(tmp_path_factory: pytest.TempPathFactory, which: int, edits: list[Any], end: float) -> None:
    """Whatever bytes are replaced, inserted or cut: a checkpoint or one UserError, never anything else."""
    data = bytearray(VALID[which][: int(end * len(VALID[which]))] if end < 1 else VALID[which])
    for place, new, length in edits:
        at = int(place * len(data))
        data[at : at + length] = new
    read_or_refuse(tmp_path_factory, bytes(data))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False)
@given(
    st.lists(st.one_of(st.sampled_from([bytes([c]) for c in OPCODES]), st.binary(min_size=1, max_size=4)), max_size=60)
)
def test_fuzz_random_instructions(tmp_path_factory: pytest.TempPathFactory, codes: list[bytes]) -> None:
    read_or_refuse(tmp_path_factory, b"\x80\x04cos\nsystem\nq\x00X\x04\x00\x00\x00G_emaq\x01" + b"".join(codes) + b".")


def read_or_refuse(factory: pytest.TempPathFactory, data: bytes) -> None:
    path = factory.getbasetemp() / f"fuzz_{os.getpid()}.pkl"
    path.write_bytes(data)
    try:
        read_checkpoint(path)
    except UserError as error:
        assert str(path) in str(error)


LARGE = """
import sys, time
from pathlib import Path
from gan_inversion.checkpoints.foreign import read_checkpoint
from gan_inversion.generators import stylegan2
from tests.checkpoints.hostile import megabytes
before, begin = megabytes("VmRSS"), time.perf_counter()
generator = stylegan2.build(read_checkpoint(Path(sys.argv[1])))
print(time.perf_counter() - begin, megabytes("VmHWM") - before, generator.resolution)
"""


@pytest.mark.processes
@pytest.mark.parametrize("form", ["nvidia", "rosinality"])
def test_three_hundred_megabytes(tmp_path: Path, form: str) -> None:
    """From file to network in under 5 s, with less memory beyond the interpreter's than twice the file and 64 MB."""
    shapes = stylegan2_shapes(256, channel_base=2**17, channel_max=832, w_dim=512, z_dim=512, layers=8)
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    whole = Checkpoint("stylegan2", state, stylegan2().options)
    path = tmp_path / "large"
    if form == "nvidia":
        path.write_bytes(forged.nvidia_torch(whole, {}))
    else:
        path.write_bytes(forged.saved({"g_ema": forged.rosinality(whole), "latent_avg": state["mapping.w_avg"]}))
    size = path.stat().st_size / 2**20
    assert 300 < size < 400
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, peak, resolution = map(float, done.stdout.split())
    print(f"{form}: {size:.0f} MB in {seconds:.2f} s, {peak:.0f} MB")
    assert resolution == 256
    assert seconds < 5
    assert peak < 2 * size + 64
