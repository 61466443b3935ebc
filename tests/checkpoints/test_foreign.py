"""Checkpoints of other projects: each format is written here from one random network, and read back as that network."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import pickle
import re
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import read_checkpoint, save_checkpoint
from gan_inversion.checkpoints.unpickle import read_pickle
from gan_inversion.errors import UserError
from tests.checkpoints import writers
from tests.checkpoints.hostile_repeats import saved_weird, weird_tensors
from tests.conftest import ROOT

STATE = writers.stylegan2_state()
ROSINALITY = writers.rosinality_state(STATE)
W_AVG = STATE["mapping.w_avg"]
TF_ARGUMENTS = {"num_channels": 3, "resolution": 16, "architecture": "skip", "conv_clamp": 256, "mapping_lrmul": 0.02}
MANY = {"decoder." + name: tensor for name, tensor in ROSINALITY.items()} | {"encoder.body.0.weight": torch.ones(2)}

SAME_NETWORK: dict[str, Callable[[], bytes]] = {
    "nvidia-pickle": lambda: writers.nvidia_pickle(writers.persistent(STATE)),
    "nvidia-G-only": lambda: writers.nvidia_pickle(writers.persistent(STATE), G_ema=None),
    "nvidia-state-dict": lambda: writers.saved(OrderedDict(STATE)),
    "tensorflow": lambda: writers.tf_pickle(writers.tf_variables(STATE), TF_ARGUMENTS),
    "rosinality": lambda: writers.saved(
        {"g": {}, "g_ema": ROSINALITY, "latent_avg": W_AVG, "args": argparse.Namespace(size=16), "ada_aug_p": 0.0}
    ),
    "rosinality-legacy": lambda: writers.saved({"g_ema": ROSINALITY, "latent_avg": W_AVG}, legacy=True),
    "rosinality-parallel": lambda: writers.saved(
        {"g": {f"module.{k}": t for k, t in ROSINALITY.items()}, "latent_avg": W_AVG[None]}
    ),
    "psp": lambda: writers.saved(
        {"state_dict": MANY, "latent_avg": W_AVG.repeat(18, 1), "opts": {"stylegan_size": 16, "lr": 1e-4}}
    ),
    "psp-namespace": lambda: writers.saved(
        {"state_dict": MANY | {"latent_avg": W_AVG}, "opts": argparse.Namespace(exp_dir=Path("out"), device="cuda")}
    ),
    "restyle-nvidia": lambda: writers.saved({"state_dict": {f"decoder.{name}": t for name, t in STATE.items()}}),
    "bare": lambda: writers.saved(OrderedDict(ROSINALITY) | {"latent_avg": W_AVG}),
}


def read(data: bytes, folder: Path, name: str = "file.bin") -> Checkpoint:
    (folder / name).write_bytes(data)
    return read_checkpoint(folder / name)


def same(found: Checkpoint, state: dict[str, Tensor]) -> None:
    assert set(found.state) == set(state)
    for name, tensor in state.items():
        assert found.state[name].dtype == torch.float32
        torch.testing.assert_close(found.state[name], tensor, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("form", SAME_NETWORK)
def test_each_format_is_the_same_network(form: str, tmp_path: Path) -> None:
    data = SAME_NETWORK[form]()
    found = read(data, tmp_path)
    assert found.family == "stylegan2"
    same(found, STATE)
    assert found.facts["file_sha256"] == hashlib.sha256(data).hexdigest()
    assert isinstance(found.facts["format"], str)
    assert not {"torch_utils", "dnnlib"} & set(sys.modules)


def test_options_come_from_modules_then_arguments_then_defaults(tmp_path: Path) -> None:
    network = writers.persistent(
        STATE,
        attributes={
            "mapping.fc0": {"bias_gain": 0.02, "activation": "relu"},
            "synthesis.b4.conv1": {"conv_clamp": 128, "use_noise": True},
            "synthesis.b16": {"use_fp16": True},
        },
        arguments={"": {"synthesis_kwargs": writers.EasyDict(conv_clamp=256, activation="linear")}},
    )
    found = read(writers.nvidia_pickle(network, training_set_kwargs={"path": "/home/me", "max_size": 70000}), tmp_path)
    assert found.options == {
        "mapping_lr_multiplier": 0.02,
        "mapping_activation": "relu",
        "conv_clamp": 128,
        "activation": "linear",
        "use_noise": True,
        "architecture": "skip",
        "num_fp16_res": 1,
    }
    assert found.facts["training_set"] == {"max_size": 70000}
    assert "/home/me" not in str(found)


def test_stylegan3(tmp_path: Path) -> None:
    state = writers.stylegan3_state()
    network = writers.persistent(
        state,
        attributes={"synthesis": {"margin_size": 10, "output_scale": 0.25, "num_layers": 1, "img_resolution": 16}},
        arguments={
            "": {"mapping_kwargs": {"lr_multiplier": 0.1}},
            "synthesis": {"channel_base": 65536, "use_radial_filters": True, "conv_kernel": 1},
        },
    )
    found = read(writers.nvidia_pickle(network), tmp_path)
    assert found.family == "stylegan3"
    same(found, state)
    told = {"channel_base": 65536, "use_radial_filters": True, "conv_kernel": 1, "img_resolution": 16, "num_layers": 1}
    told |= {"mapping_lr_multiplier": 0.1, "channel_max": 512, "conv_clamp": 256, "filter_size": 6, "num_critical": 2}
    assert told.items() <= found.options.items()


def test_source_code_in_a_pickle_is_dropped(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w')\nclass Generator: pass\n"
    found = read(writers.nvidia_pickle(writers.persistent(STATE, source=source)), tmp_path)
    same(found, STATE)
    assert not canary.exists()


def test_a_pickled_module_alone(tmp_path: Path) -> None:
    """As PTI stores the generators that it tunes: torch.save of the whole module."""
    with writers.foreign_modules():
        data = writers.saved(writers.persistent(STATE))
    same(read(data, tmp_path), STATE)


def test_tensorflow_options_and_unknown_names(tmp_path: Path) -> None:
    variables = writers.tf_variables(STATE)
    found = read(writers.tf_pickle(variables, TF_ARGUMENTS), tmp_path)
    assert (found.options["conv_clamp"], found.options["mapping_lr_multiplier"]) == (256, 0.02)
    with pytest.raises(UserError, match=r"file.bin: .*arguments mystery are unknown"):
        read(writers.tf_pickle(variables, {**TF_ARGUMENTS, "mystery": 1}), tmp_path)
    with pytest.raises(UserError, match=r"file.bin: .*variables synthesis/mystery are unknown"):
        read(writers.tf_pickle({**variables, "synthesis/mystery": np.zeros(2)}, TF_ARGUMENTS), tmp_path)
    with pytest.raises(UserError, match=r"num_channels is 4"):
        read(writers.tf_pickle(variables, {**TF_ARGUMENTS, "num_channels": 4}), tmp_path)


def test_tensorflow_networks_that_grew(tmp_path: Path) -> None:
    """StyleGAN2's configurations B to D: colours of each side that training went through, of which the last are drawn."""
    variables = writers.tf_variables(STATE)
    variables = {
        n.replace("16x16/ToRGB", "ToRGB_lod0"): v for n, v in variables.items() if not re.search("[48]/ToRGB", n)
    }
    grown = variables | {f"synthesis/ToRGB_lod{i}/bias": np.zeros(3, np.float32) for i in (1, 2)}
    found = read(writers.tf_pickle(grown | {"synthesis/lod": np.float32(0)}, TF_ARGUMENTS), tmp_path)
    assert found.options["architecture"] == "orig"
    assert [name for name in found.state if ".torgb.bias" in name] == ["synthesis.b16.torgb.bias"]
    with pytest.raises(UserError, match="still growing: its synthesis/lod is not 0"):
        read(writers.tf_pickle(grown | {"synthesis/lod": np.float32(1.5)}, TF_ARGUMENTS), tmp_path)


@pytest.mark.parametrize(("given", "taps"), [({}, [1, 3, 3, 1]), ({"resample_kernel": None}, [1, 1])])
def test_tensorflow_filters(given: dict[str, Any], taps: list[float], tmp_path: Path) -> None:
    found = read(writers.tf_pickle(writers.tf_variables(STATE), {**TF_ARGUMENTS, **given}), tmp_path)
    expected = torch.outer(torch.tensor(taps), torch.tensor(taps)).float()
    assert torch.allclose(found.state["synthesis.b8.conv0.resample_filter"], expected / expected.sum())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "legacy", "tensorflow", "nvidia"])
def test_protocols_and_names(form: str, protocol: int, tmp_path: Path) -> None:
    """torch's zips are named after the file they were first saved to; NumPy's arrays of other orders since protocol 5."""
    path = tmp_path / "run_12:30.pt"
    if form == "tensorflow":
        variables = writers.tf_variables(STATE)
        turned = np.ascontiguousarray(variables["synthesis/8x8/Conv1/weight"].transpose(1, 0, 3, 2)).transpose(
            1, 0, 3, 2
        )
        with writers.foreign_modules():
            network = writers.tf_network(variables | {"synthesis/8x8/Conv1/weight": turned}, TF_ARGUMENTS)
            path.write_bytes(pickle.dumps(network, protocol))
    elif form == "nvidia":
        with writers.foreign_modules():
            path.write_bytes(pickle.dumps({"G_ema": writers.persistent(STATE)}, protocol))
    else:
        torch.save({"g_ema": ROSINALITY, "latent_avg": W_AVG}, path, pickle_protocol=protocol,
                   _use_new_zipfile_serialization=form == "zip")  # fmt: skip
    same(read_checkpoint(path), STATE)


def test_tensorflow_labels_before_ada(tmp_path: Path) -> None:
    """Embedded by a plain product, and normalised beside z: in our layers' terms, weights are larger by sqrt(inputs)."""
    variables = writers.tf_variables(STATE) | {"mapping/LabelConcat/weight": np.ones((4, writers.W), np.float32)}
    found = read(writers.tf_pickle(variables, TF_ARGUMENTS), tmp_path)
    assert found.options["label_norm"] == "both"
    assert torch.equal(found.state["mapping.embed.weight"], torch.full((writers.W, 4), 2.0))


def test_the_first_stylegan_is_handed_on(tmp_path: Path) -> None:
    variables = {
        "synthesis/4x4/Const/const": np.zeros((1, 2, 4, 4)),
        "synthesis/4x4/Const/StyleMod/weight": np.zeros(2),
    }
    installed = importlib.util.find_spec("gan_inversion.checkpoints.tf_stylegan") is not None
    with pytest.raises(UserError, match="file.bin: " + ("" if installed else ".*no reader")):
        read(writers.tf_pickle(variables | {"synthesis/unknown": np.zeros(1)}, {}), tmp_path)


def test_rosinality_without_mean_noise_and_filters(tmp_path: Path) -> None:
    bare = {k: t for k, t in ROSINALITY.items() if not k.startswith("noises") and "kernel" not in k}
    found = read(writers.saved(bare), tmp_path)
    assert "computed from samples" in found.facts["w_avg"]
    assert not found.state["synthesis.b16.conv0.noise_const"].any()
    assert "zero" in found.facts["noise"]
    assert torch.equal(found.state["synthesis.b8.conv0.resample_filter"], writers.USUAL)
    assert set(found.state) == set(STATE) - {"mapping.w_avg"}


def test_rows_of_a_mean_that_differ_are_averaged(tmp_path: Path) -> None:
    rows = torch.arange(2.0)[:, None].repeat(1, writers.W)
    found = read(writers.saved({"g_ema": ROSINALITY, "latent_avg": rows}), tmp_path)
    assert torch.equal(found.state["mapping.w_avg"], torch.full((writers.W,), 0.5))


def test_rosinality_unknown_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"file.bin: .*tensors convs.0.mystery are unknown"):
        read(writers.saved({"g_ema": ROSINALITY | {"convs.0.mystery": torch.ones(1)}}), tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("legacy", [False, True])
def test_other_precisions_and_orders(dtype: torch.dtype, legacy: bool, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in STATE.items()}
    turned = "synthesis.b8.conv0.weight"
    state[turned] = state[turned].contiguous(memory_format=torch.channels_last)
    stack = torch.stack([state["mapping.fc0.bias"]] * 3, 1)
    state["mapping.fc0.bias"] = stack[:, 1]  # every third number of its storage
    found = read(writers.saved(state, legacy), tmp_path)
    for name, tensor in state.items():
        assert torch.equal(found.state[name], tensor.float()), name


def test_our_own_format(tmp_path: Path) -> None:
    first = Checkpoint("stylegan3", writers.stylegan3_state(), {"conv_clamp": None}, {"format": "x", "licence": "CC0"})
    save_checkpoint(tmp_path / "a", first)
    save_checkpoint(tmp_path / "b", first)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_checkpoint(tmp_path / "a")
    assert (found.family, found.options) == ("stylegan3", {"conv_clamp": None})
    assert {"converted_from": "x", "licence": "CC0"}.items() <= found.facts.items()
    save_checkpoint(tmp_path / "again", found)
    assert read_checkpoint(tmp_path / "again").facts["converted_from"] == "x"
    same(found, dict(first.state))


def test_tensors_can_be_changed_and_the_file_too(tmp_path: Path) -> None:
    found = read(SAME_NETWORK["bare"](), tmp_path)
    for tensor in found.state.values():
        tensor.zero_()
    (tmp_path / "file.bin").write_bytes(b"")


LETTERS = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it is empty. Download it again"),
    "html": (lambda: LETTERS, r"web page.*quota.*download it again"),
    "lfs": (lambda: POINTER, "Git LFS pointer.*git lfs pull"),
    "gzip": (lambda: b"\x1f\x8b" + bytes(20), "gzip. Unpack it first"),
    "noise": (lambda: bytes(range(3, 200)), "no checkpoint of a known format.*Known are"),
    "discriminator": (lambda: writers.saved({"d": {"final_linear.0.weight": torch.ones(2)}}), "discriminator only"),
    "nvidia-discriminator": (
        lambda: writers.nvidia_pickle(None, D=writers.persistent({"b4.out.weight": torch.ones(2)})),
        "discriminator only",
    ),
    "encoder": (lambda: writers.saved({"state_dict": {"encoder.body.0.weight": torch.ones(2)}}), "encoder only"),
    "other-network": (lambda: writers.saved({"features.0.weight": torch.ones(2)}), "another network.*features"),
    "nvidia-other": (
        lambda: writers.nvidia_pickle(writers.persistent({"fc.weight": torch.ones(2)})),
        "no generator of StyleGAN2 or StyleGAN3",
    ),
    "list": (lambda: pickle.dumps([1]), "no StyleGAN generator, but a list"),
    "integers": (
        lambda: writers.saved(ROSINALITY | {"style.1.bias": torch.ones(16, dtype=torch.long)}),
        "int64, where real numbers belong",
    ),
    "shape": (lambda: writers.saved(ROSINALITY | {"input.input": torch.ones(2, 8, 4, 4)}), "shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    with pytest.raises(UserError, match=f"(?s)^{tmp_path}/file.bin: .*{message}"):
        read(make(), tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("key", weird_tensors())
@pytest.mark.filterwarnings("ignore:.*(beta state|deprecated|prototype)")
def test_tensors_that_are_no_rows_of_numbers(key: str, legacy: bool, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"file.bin: .*({weird_tensors()[key][1]})"):
        read(saved_weird(key, legacy), tmp_path)


def test_no_file_and_no_file_but_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.pkl: there is no such file"):
        read_checkpoint(tmp_path / "none.pkl")
    with pytest.raises(UserError, match="it is a folder"):
        read_checkpoint(tmp_path)


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps(1))
        archive.writestr("net/code/__torch__.py", "x")
    with pytest.raises(UserError, match=r"net.pt: it is a TorchScript program"):
        read_checkpoint(tmp_path / "net.pt")


def test_plain_data_of_all_protocols() -> None:
    value: dict[str, Any] = {
        "a": [1, -2, 3.5, None, True, False, 2**63, "é", b"\xff\x00", b"x" * 3], "t": (1, (2,), (3, 4, 5), (1, 2, 3, 4)),
        "s": {1, 2}, "f": frozenset({"x"}), "o": OrderedDict(a=1), "n": np.float32(0.5), "e": np.zeros((0, 3)),
        "b": np.asarray([[True, False]]), "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "i": np.int64(7),
    }  # fmt: skip
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        found, end = read_pickle(memoryview(pickle.dumps(value, protocol)))
        assert end == len(pickle.dumps(value, protocol))
        for key, expected in value.items():
            if isinstance(expected, set | frozenset):  # protocols before 4 make them of a list, which stands for them
                assert set(found[key]) == expected
            else:
                assert np.array_equal(found[key], expected) if key in "ebF" else found[key] == expected


BIG = """
import sys, time
from pathlib import Path
from gan_inversion.checkpoints.foreign import read_checkpoint
from tests.checkpoints.hostile import forget_peak, memory
read_checkpoint(Path(sys.argv[2]))  # so that code is in memory that this file needs, too
forget_peak()
before, start = memory("VmHWM"), time.process_time()
found = read_checkpoint(Path(sys.argv[1]))
print(memory("VmHWM") - before, time.process_time() - start, sum(t.numel() * 4 for t in found.state.values()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("form", ["zip", "legacy", "nvidia", "zip-half"])
def test_300_megabytes(form: str, tmp_path: Path) -> None:
    half = form == "zip-half"
    names = [f"mapping.fc{i}.weight" for i in range(75 * (2 if half else 1))]
    block = torch.zeros(1000, 1000, dtype=torch.float16 if half else torch.float32)
    state = {**STATE, **{name: block.clone() for name in names}}
    path = tmp_path / "big"
    path.write_bytes(
        writers.nvidia_pickle(writers.persistent(state)) if form == "nvidia" else writers.saved(state, form == "legacy")
    )
    size = path.stat().st_size
    assert size > 300e6
    (tmp_path / "small").write_bytes(SAME_NETWORK["bare"]())
    command = [sys.executable, "-c", BIG, str(path), str(tmp_path / "small")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    path.unlink()
    peak, seconds, found = (float(word) for word in done.stdout.split())
    print(f"{form}: {size / 1e6:.0f} MB, {seconds:.2f} s, peak {peak / 1e6:.0f} MB")
    assert found >= (2 if half else 1) * 300e6
    assert seconds < 5
    assert peak < size + found + 64e6  # the file and its tensors: it is read, not mapped
