"""Generators of all families as ONNX: drawn by ONNX Runtime as by torch, for any number of samples."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators import stylegan, stylegan2, stylegan3
from gan_inversion.generators.kernels import InverseHaar, SeparableConv, inverse_haar_bands, separable_conv
from gan_inversion.generators.onnx_graph import OPSET, TOLERANCE, graphs_of
from gan_inversion.generators.tiny import Tiny
from tests.conftest import Ran, drawn, latents, real
from tests.families import tiny_checkpoint
from tests.generators.test_stylegan2 import CASES as CASES_2
from tests.generators.test_stylegan3 import made
from tests.seeded import stylegan2 as seeded_stylegan2

Run = Callable[..., Ran]
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason='ONNX is not installed: pip install ".[onnx]"',
)


def of_case(name: str) -> Any:
    case = CASES_2[name]
    checkpoint = seeded_stylegan2(case.resolution, case.seed, case.options, **case.sizes)
    return stylegan2.build(checkpoint, class_label=1 if case.sizes.get("c_dim") else None)


FAMILIES: dict[str, Callable[[], Any]] = {
    "stylegan": lambda: stylegan.build(tiny_checkpoint("stylegan")),
    "stylegan2_skip_classes": lambda: of_case("skip_classes_clamp"),
    "stylegan2_resnet": lambda: of_case("resnet"),
    "stylegan2_orig": lambda: of_case("orig_linear"),
    "stylegan3_t": lambda: stylegan3.build(made("t16")),
    "stylegan3_r": lambda: stylegan3.build(made("r32")),
}


@needs_onnx
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_drawn_as_by_torch(family: str) -> None:
    """`graphs_of` compares one and three samples, and refuses what is further off."""
    files, differences = graphs_of(FAMILIES[family]())
    assert set(files) == {"mapping", "synthesis"}
    assert max(differences.values()) <= TOLERANCE


@needs_onnx
def test_stored_latents_are_drawn_elsewhere(run: Run, generator: Tiny, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    run("export_onnx", "generator=tiny", "output=out")
    session = onnxruntime.InferenceSession(tmp_path / "out/synthesis.onnx")
    ws = torch.stack([latents(generator, seed) for seed in range(5)])
    offset = torch.zeros(5, len(generator.style_rows))
    (image,) = session.run(None, {"ws": ws.numpy(), "style_offset": offset.numpy()})
    for one, seed in zip(image, range(5), strict=True):
        pixels = ((one.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(1, 2, 0)
        assert np.abs(pixels.astype(int) - drawn(generator, seed).pixels).max() <= 1
    offset[:, ::7] = 0.5
    (moved,) = session.run(None, {"ws": ws.numpy(), "style_offset": offset.numpy()})
    with torch.no_grad():
        ours = generator.synthesis(ws, styles=generator.styles(ws) + offset).numpy()
    assert np.abs(moved - ours).max() <= TOLERANCE < np.abs(moved - image).max()
    model = onnx.load(tmp_path / "out/mapping.onnx")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [OPSET]
    facts = json.loads(model.metadata_props[0].value)
    assert facts["generator_sha256"] == generator.sha256
    assert facts["licence"] == generator.licence
    said = run("export_onnx", "generator=tiny", "output=out", code=1).stderr
    assert "mapping.onnx exists" in said
    run("export_onnx", "generator=tiny", "generator.seed=1", "output=out", "overwrite=true")
    assert onnx.load(tmp_path / "out/mapping.onnx") != model


@needs_onnx
@pytest.mark.weights
def test_the_default_generator_is_drawn_as_by_torch() -> None:
    assert max(graphs_of(real())[1].values()) <= TOLERANCE


@needs_onnx
def test_half_precision_is_refused() -> None:
    with pytest.raises(UserError, match=r"16 bit cannot be exported.*precision=float32"):
        graphs_of(stylegan3.build(made("t16"), precision="original"))
    case = CASES_2["skip"]
    checkpoint = seeded_stylegan2(case.resolution, case.seed, {**case.options, "num_fp16_res": 2}, **case.sizes)
    with pytest.raises(UserError, match="16 bit"):
        graphs_of(stylegan2.build(checkpoint, precision="original"))


def test_without_the_packages_the_remedy_is_named(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r'pip install "\.\[onnx\]"'):
        graphs_of(generator)


def test_plain_twins_of_the_kernels() -> None:
    """What stands in graphs in place of the kernels computes the same."""
    random = torch.Generator().manual_seed(0)
    shapes = [(2, 6, 6, 8), (2, 8), (8, 1, 3, 3), (5, 8), (1, 6, 6, 1), (5,)]
    parts = [torch.randn(shape, generator=random) for shape in shapes]
    assert torch.allclose(separable_conv(*parts), SeparableConv.apply(*parts), atol=1e-5)
    x, style = parts[:2]
    assert torch.allclose(inverse_haar_bands(x, style), InverseHaar.apply(x, style), atol=1e-6)
