"""Small pictures: by heads where there are any, else from the true picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.assets.trained import load_trained, save_trained
from gan_inversion.errors import UserError
from gan_inversion.generators.preview import HEADS, heads_from
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import area_resize
from gan_inversion.training.preview_heads import measure_heads, new_heads
from tests.conftest import latents, real


def with_heads(seed: int = 0) -> Tiny:
    """The tiny generator with an untrained head at 16 pixels."""
    generator = tiny()
    heads = new_heads(generator, [16], seed).requires_grad_(False)
    generator.use_previews({int(key): head for key, head in heads.items()}, "x")
    return generator


def test_without_a_head_the_true_picture_is_downsampled(generator: Tiny) -> None:
    ws = latents(generator, 1)[None]
    assert torch.equal(generator.synthesis(ws, resolution=32), area_resize(generator.synthesis(ws), 32))
    assert generator.synthesis(ws, resolution=256).shape[-1] == 64  # never larger than the true one


def test_a_head_sees_every_row() -> None:
    """Rows before its features through them, the others through its own styles."""
    generator = with_heads()
    ws = latents(generator, 1)[None].requires_grad_()
    image = generator.synthesis(ws, resolution=16)
    assert image.shape == (1, 3, 16, 16)
    image.square().sum().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().sum(2) > 0).all()


def test_heads_survive_the_file(tmp_path: Path) -> None:
    generator, ws = with_heads(), latents(tiny(), 1)[None]
    heads = torch.nn.ModuleDict({str(key): head for key, head in generator.previews.items()})
    save_trained(tmp_path / "heads.safetensors", HEADS, heads, generator, {"n": 1})
    found = load_trained(str(tmp_path / "heads.safetensors"), HEADS, generator)
    before = generator.synthesis(ws, resolution=16)
    generator.use_previews(heads_from(found.tensors, generator.w_dim), found.sha256)
    assert found.facts == {"n": 1}
    assert (generator.synthesis(ws, resolution=16) - before).abs().max() < 0.01 * before.abs().max()  # float16


def test_heads_of_another_generator_are_refused(tmp_path: Path) -> None:
    generator = with_heads()
    heads = torch.nn.ModuleDict({str(key): head for key, head in generator.previews.items()})
    path = tmp_path / "heads.safetensors"
    save_trained(path, HEADS, heads, generator, {})
    with pytest.raises(UserError, match="trained for another generator"):
        load_trained(str(path), HEADS, tiny(seed=1))
    with pytest.raises(UserError, match="this is preview heads, not encoder"):
        load_trained(str(path), "encoder", generator)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"heads\.safetensors: not a safetensors file, or damaged"):
        load_trained(str(path), HEADS, generator)
    with pytest.raises(UserError, match=r"neither in weights/catalogue\.yaml nor a path"):
        load_trained("nothing", HEADS, generator)


def test_too_few_rows_for_a_head(generator: Tiny) -> None:
    with pytest.raises(UserError, match="at least 4 rows"):
        new_heads(generator, [32], 0)
    for wrong in ([64], [24], [8], [16, 16]):
        with pytest.raises(UserError, match="different powers of two"):
            new_heads(generator, wrong, 0)


@pytest.mark.weights
def test_the_heads_draw_what_the_generator_draws() -> None:
    """Samples never trained on, against the model card's mean less 3 dB."""
    generator = real()
    heads = torch.nn.ModuleDict({str(key): head for key, head in generator.previews.items()})
    numbers = measure_heads(generator, heads, range(1_000_000, 1_000_003), 0)
    assert numbers["psnr_128"] > 24
    assert numbers["psnr_256"] > 26
