"""Checkpoints, directions and latents that were once read wrong, or took all memory or time."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from gan_inversion.assets.trained import load_trained
from gan_inversion.checkpoints import foreign
from gan_inversion.checkpoints.arrays import read_arrays
from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.foreign import read_checkpoint, save_checkpoint
from gan_inversion.checkpoints.projected import import_latents, latents_at_for
from gan_inversion.editing.files import load_directions
from gan_inversion.errors import UserError
from gan_inversion.generators.file import build_checkpoint, from_file
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import load_all_latents, load_latents, render, save_latents
from gan_inversion.storage.tensors import parse_tensors, read_tensors
from tests.checkpoints import writers
from tests.conftest import Ran

STATE = writers.stylegan2_state()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


# ------------------------------------------------------------------ what is expanded, inflated, or no numbers


def npy_that_says(shape: str, kind: str = "<f4") -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(64)


def zip_of_zeros() -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("w.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1_000_000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        npy_that_says("(1000000000,)"),
        npy_that_says("(4, 4)", "|O"),
        npy_that_says("(" * 900 + ")" * 900),
        npy_that_says("(-4, -4)"),
        npy(np.array(["a"])),
        npy(np.ones((2, 16), complex)),
        npz(w=np.array([{}], object)),
        b"\x93NUMPY",
        pickle.dumps(print),
        writers.saved({"w": torch.ones(1).expand(10**9)}),
        writers.saved(torch.ones(4, 4).to_sparse()),
        writers.saved(torch.ones(4, 4, dtype=torch.complex64)),
        writers.saved(torch.ones(4, 4, device="meta")),
        writers.saved(torch.ones(4, 4, dtype=torch.int64)),
    ],
)
@pytest.mark.parametrize("ending", [".npy", ".npz", ".pt"])
def test_arrays_that_are_none(generator: Tiny, tmp_path: Path, data: bytes, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(data)
    for read in (read_arrays, lambda p: import_latents(p, generator), lambda p: load_directions(str(p), generator)):
        with pytest.raises(UserError, match=rf"^{path}: "):
            read(path)


@pytest.mark.slow
def test_inflated_sizes_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(zip_of_zeros())
    with pytest.raises(UserError, match=r"x.npz: its arrays .* would take more than 1,000 MB"):
        read_arrays(tmp_path / "x.npz")


# ------------------------------------------------------------------ what one picture costs


def other(**tensors: torch.Tensor) -> Checkpoint:
    state = STATE | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return Checkpoint("stylegan2", state, dict(foreign.rosinality.OPTIONS), {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"synthesis__b8192__torgb__bias": torch.zeros(3)}, "it draws 8192 pixels; the limit is 4096"),
        ({"mapping__fc0__weight": torch.zeros(1, 1).expand(16, 30_000)}, r"\[16, 30000\]; the limit is 4096"),
        ({"mapping__fc1__weight": torch.zeros(1, 1).expand(30_000, 16)}, r"\[30000, 16\]; the limit is 4096"),
        ({f"mapping__fc{i}__bias": torch.zeros(16) for i in range(80)}, "more than 32 layers"),
        ({"synthesis__b4096__conv0__weight": torch.zeros(1, 1, 1, 1).expand(8, 64, 3, 3)}, r"38\.7 GB for one layer"),
        ({"synthesis__b1024__conv0__weight": torch.zeros(1, 1, 1, 1).expand(1024, 1024, 3, 3)}, r"9\.9e\+12 multiplic"),
    ],
)
def test_generators_that_would_take_hours(changed: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_checkpoint(other(**changed))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_than_three_channels(tmp_path: Path, run: Callable[..., Ran], channels: int) -> None:
    state = dict(STATE)
    for side in writers.SIDES:
        state[f"synthesis.b{side}.torgb.weight"] = torch.randn(channels, writers.CHANNELS, 1, 1)
        state[f"synthesis.b{side}.torgb.bias"] = torch.randn(channels)
    path = tmp_path / "grey.pkl"
    path.write_bytes(writers.nvidia_pickle(writers.persistent(state)))
    with pytest.raises(UserError, match=rf"grey.pkl: .*pictures of {channels} channels; what is drawn here has three"):
        from_file(str(path))
    assert "channels; what is drawn here has three" in run("convert_weights", f"input={path}", code=1).stderr
    three = writers.stylegan3_state()
    three["synthesis.L1_16_3.bias"] = torch.zeros(3)
    three = {name.replace("L1_16_3", f"L1_16_{channels}"): tensor for name, tensor in three.items()}
    with pytest.raises(UserError, match=f"pictures of {channels} channels"):
        build_checkpoint(Checkpoint("stylegan3", three))


# ------------------------------------------------------------------ headers


def ours(header: bytes, body: bytes = bytes(64)) -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def with_note(note: Any) -> bytes:
    text = note if isinstance(note, str) else json.dumps(note)
    return save({"ws": torch.zeros(8, 16)}, {"gan_inversion": text})


HEADERS = [
    b"",
    bytes(8),
    ours(b"[]"),
    ours(b"[" * 100_000),
    ours(b'{"a":' * 100_000),
    ours(b"{"),
    ours(b'{"__metadata__": 3}'),
    ours(b'{"__metadata__": {"gan_inversion": 3}}'),
    ours(b'{"a": 3}'),
    ours(b'{"a": {"dtype": "F32", "shape": [1e9], "data_offsets": [0, 64]}}'),
    ours(b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 64]}}'),
    ours(b'{"a": {"dtype": "F32", "shape": [16], "data_offsets": [64, 0]}}'),
    ours(b'{"a": {"dtype": "C64", "shape": [8], "data_offsets": [0, 64]}}'),
    ours(b"\xff\xfe{}"),
    b"\xff" * 8 + b"{}",
    *map(with_note, ("[]", "{", "[" * 100_000, "3", "null", {}, {"kind": 3}, {"kind": []}, {"kind": "generator"})),
    *map(
        with_note, ({"generator_sha256": 3}, {"generator_sha256": "f", "interrupted": "no"}, {"generator_sha256": ""})
    ),
    with_note({"kind": "part", "generator_sha256": "f", "facts": []}),
    with_note({"kind": "generator", "family": [], "options": {}, "facts": {}}),
    with_note({"kind": "generator", "family": "stylegan2", "options": [], "facts": {}}),
    with_note({"kind": "generator", "family": "stylegan2", "options": {"a": "[" * 100}, "facts": 3}),
]


@pytest.mark.parametrize("data", HEADERS, ids=range(len(HEADERS)))
def test_one_sentence_for_every_header(generator: Tiny, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    readers: list[Callable[[], Any]] = [
        lambda: load_all_latents(path),
        lambda: load_trained(str(path), "part", generator),
        lambda: load_directions(str(path), generator),
        lambda: read_checkpoint(path),
    ]
    for read in readers:
        with pytest.raises(UserError) as error:
            read()
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value).partition("Go without")[0].partition("this generator")[0].rstrip()


@pytest.mark.parametrize("facts", [{}, {"space": "p"}, {"space": "p", "deviations": []}, {"space": [], "deviations": {}},
                                   {"space": "p", "deviations": {"age": "much"}}])  # fmt: skip
def test_directions_without_deviations(generator: Tiny, tmp_path: Path, facts: dict[str, Any]) -> None:
    note = {"kind": "directions", "generator_sha256": generator.sha256, "facts": facts}
    data = save({"direction.age": torch.zeros(generator.w_dim)}, {"gan_inversion": json.dumps(note)})
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(UserError, match=r"x.safetensors: not whole directions"):
        load_directions(str(tmp_path / "x.safetensors"), generator)


def test_values_have_types() -> None:
    note = parse_tensors(with_note({"a": True, "b": 3, "c": "x"}), "f").note()
    assert (note.get("a", bool), note.get("b", float), note.get("c", str), note.get("d", str, "z")) == (
        True,
        3,
        "x",
        "z",
    )
    for key, kind in (("a", float), ("b", str), ("b", bool), ("c", dict), ("d", list)):
        with pytest.raises(UserError, match=f"f: its header does not say {key}, as "):
            note.get(key, kind)


# ------------------------------------------------------------------ latents that draw nothing


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"ws": torch.full((8, 16), float("nan"))}, "ws has numbers that are not finite"),
        ({"ws": torch.full((8, 16), 1e38)}, r"ws has numbers above 100000"),
        ({"ws": torch.zeros(8, 16, dtype=torch.int64)}, "ws is int64"),
        ({"ws": torch.zeros(8, 16), "ws.style_offset": torch.full((3,), 1e38)}, "ws.style_offset has numbers above"),
    ],
)
def test_latents_are_refused_with_file_and_tensor(tmp_path: Path, tensors: dict[str, Any], message: str) -> None:
    note = json.dumps({"generator_sha256": "f" * 64})
    (tmp_path / "a.safetensors").write_bytes(save(tensors, {"gan_inversion": note}))
    with pytest.raises(UserError, match=rf"a.safetensors: .*{message}"):
        load_latents(tmp_path / "a.safetensors", "ws")


@pytest.mark.parametrize("change", [{"ws": torch.zeros(900, 16)}, {"style_offset": torch.zeros(3)},
                                    {"noise": (torch.zeros(2, 2),)}, {"features": torch.zeros(2, 3, 4).half()}])  # fmt: skip
def test_latents_of_other_shapes_are_not_blended(
    tmp_path: Path, run: Callable[..., Ran], generator: Tiny, change: dict[str, Any]
) -> None:
    ws = torch.zeros(generator.num_ws, generator.w_dim)
    save_latents(tmp_path / "a.safetensors", {"ws": Latents(**{"ws": ws, **change})}, generator.sha256)
    files = [f"father={tmp_path}/a.safetensors", f"mother={tmp_path}/a.safetensors"]
    ran = run(
        "blend",
        *files,
        "generator=tiny",
        "inherit.path=null",
        "inherit.people=null",
        "child.age=null",
        "child.gender=null",
        code=1,
    )
    assert "the father's latents" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_no_picture_of_numbers_that_are_none(generator: Tiny) -> None:
    with pytest.raises(UserError, match="draws no picture of these latents"):
        render(generator, Latents(torch.full((generator.num_ws, generator.w_dim), float("nan"))))


def test_files_that_shrink_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they mapped, the process would end here."""
    path = tmp_path / "x.pkl"
    path.write_bytes(writers.nvidia_pickle(writers.persistent(STATE)))
    inner = foreign._checkpoint_of

    def cut_short(*arguments: Any) -> Any:
        os.truncate(path, 10)
        return inner(*arguments)

    monkeypatch.setattr(foreign, "_checkpoint_of", cut_short)
    assert torch.equal(read_checkpoint(path).state["mapping.w_avg"], STATE["mapping.w_avg"])


# ------------------------------------------------------------------ other people's objects


class _Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.act, self.gelu = functools.partial(nn.functional.leaky_relu, negative_slope=0.1), nn.functional.gelu
        nn.utils.spectral_norm(self.layer)


def named(kind: type, module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """The class under another name, while it is pickled."""
    made = type(name, (kind,), {})
    made.__module__, made.__qualname__ = module, name
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(parts[i - 1]))
    setattr(sys.modules[module], name, made)
    return made


@pytest.mark.parametrize("place", ["pg_modules.discriminator", "training.diffaug", "timm.models.efficientnet"])
def test_discriminators_of_other_classes_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    theirs = named(_Theirs, place, "ProjectedDiscriminator", monkeypatch)()
    data = writers.nvidia_pickle(writers.persistent(STATE), D=theirs, augment_pipe=[theirs])
    (tmp_path / "x.pkl").write_bytes(data)
    assert torch.equal(read_checkpoint(tmp_path / "x.pkl").state["mapping.w_avg"], STATE["mapping.w_avg"])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_whole_models_are_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool, wrapped: bool
) -> None:
    theirs = named(_Theirs, "model", "Generator", monkeypatch)()
    buffer = io.BytesIO()
    torch.save({"g_ema": theirs} if wrapped else theirs, buffer, _use_new_zipfile_serialization=not legacy)
    (tmp_path / "x.pt").write_bytes(buffer.getvalue())
    with pytest.raises(
        UserError, match=r"x.pt: it holds a whole object of class model.Generator: save its state_dict\(\)"
    ):
        read_checkpoint(tmp_path / "x.pt")


def test_stylegan_xl_is_refused_by_its_name(tmp_path: Path) -> None:
    for conditional in (False, True):
        state = STATE | {"mapping.embed.weight": torch.zeros(10, 8), "mapping.embed_proj.weight": torch.zeros(16, 8)}
        state |= {
            "mapping.embed_proj.bias": torch.zeros(16),
            "mapping.w_avg": torch.zeros(10 if conditional else 1, 16),
        }
        (tmp_path / "x.pkl").write_bytes(writers.nvidia_pickle(writers.persistent(state)))
        with pytest.raises(UserError, match=r"x.pkl: its network is a StyleGAN-XL, which is not read"):
            read_checkpoint(tmp_path / "x.pkl")


def test_an_embedding_that_is_not_used_is_named(tmp_path: Path) -> None:
    state = STATE | {"mapping.embed.weight": torch.zeros(1000, 0)}
    with pytest.raises(UserError, match="is empty"):
        build_checkpoint(Checkpoint("stylegan2", state, dict(foreign.rosinality.OPTIONS)))
    state = STATE | {"mapping.embed.weight": torch.zeros(1000, 1000)}
    with pytest.raises(UserError, match="embedding of 1000 numbers, its first layer takes 16"):
        build_checkpoint(Checkpoint("stylegan2", state, dict(foreign.rosinality.OPTIONS)))


def test_converters_draw_a_picture_of_what_they_made(tmp_path: Path, run: Callable[..., Ran]) -> None:
    state = STATE | {"synthesis.b4.const": torch.full((writers.CHANNELS, 4, 4), 3e38)}
    save_checkpoint(tmp_path / "x.safetensors", Checkpoint("stylegan2", state, dict(foreign.rosinality.OPTIONS)))
    arguments = [f"input={tmp_path}/x.safetensors", f"output={tmp_path}/y.safetensors"]
    ran = run("convert_weights", *arguments, code=1)
    assert "x.safetensors: stylegan2 draws no picture" in ran.stderr
    assert not (tmp_path / "y.safetensors").exists()


# ------------------------------------------------------------------ latents of other projects


def rows(generator: Tiny, more: int = 0) -> torch.Tensor:
    return torch.randn(generator.num_ws + more, generator.w_dim, generator=torch.Generator().manual_seed(5))


def test_latents_of_every_project(generator: Tiny, tmp_path: Path) -> None:
    ws = rows(generator)
    files = {
        "projected_w.npz": npz(w=ws[None].numpy()),
        "small.npz": npz(True, w=ws[None].double().numpy()),
        "latents.pt": writers.saved(ws[None]),
        "old.pt": writers.saved(ws[None], legacy=True),
        "one.npy": npy(ws.numpy()),
        "e4e.pt": writers.saved({"anna.jpg": ws}),
        "pti.pt": writers.saved([ws[None]]),
        "array.pkl": pickle.dumps({"w": ws.numpy()}),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (found,) = import_latents(tmp_path / name, generator).values()
        assert torch.equal(found.ws, ws), name
        assert found.generator_sha256 == generator.sha256
        assert torch.equal(latents_at_for(f"{tmp_path / name}", generator).ws, ws)
    assert torch.equal(latents_at_for(f"{tmp_path}/e4e.pt:anna.jpg", generator).ws, ws)
    (tmp_path / "many.npy").write_bytes(npy(torch.stack([ws, -ws]).numpy()))
    assert torch.equal(latents_at_for(f"{tmp_path}/many.npy:1", generator).ws, -ws)
    with pytest.raises(UserError, match=r"many.npy: no latents called 7; it has 0, 1"):
        latents_at_for(f"{tmp_path}/many.npy:7", generator)
    (tmp_path / "w.npy").write_bytes(npy(ws[0].numpy()))
    assert torch.equal(latents_at_for(f"{tmp_path}/w.npy", generator).ws, ws[:1].expand(ws.shape))
    for wrong in (ws[:, :5], rows(generator, 5), ws * float("inf"), ws * 1e9):
        (tmp_path / "no.npy").write_bytes(npy(wrong.numpy()))
        with pytest.raises(UserError, match=r"no.npy: (no latents of tiny|ws has numbers)"):
            import_latents(tmp_path / "no.npy", generator)


def test_latents_out_and_in(generator: Tiny, tmp_path: Path, run: Callable[..., Ran]) -> None:
    ws = rows(generator)
    save_latents(tmp_path / "a.safetensors", {"anna": Latents(ws)}, generator.sha256)
    for ending in ("npz", "pt"):
        output = tmp_path / f"out.{ending}"
        arguments = ["export_latents", f"latents={tmp_path}/a.safetensors:anna", f"output={output}"]
        said = run(*arguments, f"rows={len(ws) + 2}").stdout
        assert f"rows {len(ws) - 1} and {len(ws)} are copies of row {len(ws) - 2}" in said
        found = np.load(output)["w"] if ending == "npz" else torch.load(output, weights_only=True).numpy()
        assert found.shape == (1, len(ws) + 2, ws.shape[1])
        assert found.dtype == np.float32
        assert "exists" in run(*arguments, f"rows={len(ws)}", code=1).stderr
        run(*arguments, f"rows={len(ws)}", "overwrite=true")
        back = ["import_latents", f"input={output}", f"output={tmp_path}/{ending}.safetensors", "generator=tiny"]
        run(*back)
        assert "exists" in run(*back, code=1).stderr
        run(*back, "overwrite=true")
        (found,) = load_all_latents(tmp_path / f"{ending}.safetensors").values()
        assert torch.equal(found.ws, ws)
    assert "rows=3: these latents have" in run(*arguments, "rows=3", "overwrite=true", code=1).stderr
    assert "must end in" in run("export_latents", "latents=a", "output=b.txt", code=1).stderr


def test_a_blend_of_other_projects_latents(generator: Tiny, tmp_path: Path, run: Callable[..., Ran]) -> None:
    (tmp_path / "a.npz").write_bytes(npz(w=rows(generator)[None].numpy()))
    files = [f"father={tmp_path}/a.npz", f"mother={tmp_path}/a.npz", "generator=tiny"]
    run(
        "blend",
        *files,
        "inherit.path=null",
        "inherit.people=null",
        "child.age=null",
        "child.gender=null",
        f"output_dir={tmp_path}/out",
    )
    assert (tmp_path / "out" / "child_00.png").is_file()


def test_devices_are_no_weights(generator: Tiny, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "pipe.npy")
    for read in (
        lambda: read_checkpoint(Path("/dev/zero")),
        lambda: read_checkpoint(tmp_path / "pipe.safetensors"),
        lambda: load_all_latents(tmp_path / "pipe.safetensors"),
        lambda: read_tensors("/dev/zero"),
        lambda: load_directions(str(tmp_path / "pipe.npy"), generator),
        lambda: load_directions(str(tmp_path / "pipe.safetensors"), generator),
    ):
        with pytest.raises(UserError, match="it is a device or a pipe, not a file"):
            read()
