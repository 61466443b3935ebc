"""The encoder: a face in, ws out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.assets.trained import save_trained
from gan_inversion.errors import UserError
from gan_inversion.estimators.lpips_network import lpips_network
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import to_tensor
from gan_inversion.inversion.encoder import ENCODER, Encoder, encode, load_encoder, look
from gan_inversion.inversion.starts import FromEncoder
from gan_inversion.spaces.p_space import whiten
from gan_inversion.training.encoder import measure_encoder, unexplained
from tests.conftest import drawn, latents, make_inverter, real


def untrained(generator: Tiny) -> Encoder:
    encoder = Encoder(generator.num_ws, generator.w_dim, width=8, hidden=12)
    encoder.initialise(0, generator.statistics())
    return encoder


def test_untrained_every_face_is_the_mean(generator: Tiny) -> None:
    ws = untrained(generator)(torch.randn(2, 1155, 15, 15))
    assert torch.equal(ws, generator.statistics().mean.expand_as(ws))


def test_the_mean_explains_nothing(generator: Tiny) -> None:
    ws = torch.stack([latents(generator, seed) for seed in range(200)])
    mean = generator.statistics().mean.expand_as(ws)
    assert unexplained(mean, ws, generator).mean() == pytest.approx(1.0, abs=0.15)
    assert unexplained(ws, ws, generator).max() == 0


@pytest.mark.weights
def test_a_start_and_its_identity(generator: Tiny, tmp_path: Path) -> None:
    """Loaded by path; the key follows the content, not the place; another generator's is refused."""
    encoder, face = untrained(generator), drawn(generator, 1)
    with torch.no_grad():
        encoder.leave.bias.normal_(generator=torch.Generator().manual_seed(0))
    keys = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.safetensors"
        save_trained(path, ENCODER, encoder, generator, {})
        inverter = make_inverter(generator, start=FromEncoder(str(path), None), steps=0)
        keys.append(inverter.key(face, 0))
        (found,) = inverter([face], [0])
        with torch.no_grad():
            expected = encode(to_tensor(face.pixels), encoder)[0]
        assert (found.ws - expected).abs().max() < 0.01  # float16 in the file
    assert keys[0] == keys[1]
    with torch.no_grad():
        encoder.leave.bias.add_(0.5)
    save_trained(tmp_path / "a.safetensors", ENCODER, encoder, generator, {})
    assert (
        make_inverter(generator, start=FromEncoder(str(tmp_path / "a.safetensors"), None), steps=0).key(face, 0)
        != keys[0]
    )
    with pytest.raises(UserError, match="trained for another generator"):
        load_encoder(str(path), tiny(seed=1))


@pytest.mark.weights
def test_the_reach_of_a_start(generator: Tiny, tmp_path: Path) -> None:
    """What the encoder finds outside of it is brought to its edge; null: as it comes."""
    encoder, path = untrained(generator), str(tmp_path / "e.safetensors")
    with torch.no_grad():
        encoder.leave.bias.normal_(std=9.0, generator=torch.Generator().manual_seed(0))
    save_trained(Path(path), ENCODER, encoder, generator, {})
    target = to_tensor(drawn(generator, 1).pixels)
    near, far, free = (FromEncoder(path, reach=reach)(generator, target, "a", 0) for reach in (0.5, 1.5, None))
    ends = [whiten(ws, generator.statistics()).abs().max().item() for ws in (near, far, free)]
    assert ends[:2] == pytest.approx([0.5, 1.5], rel=0.01)
    assert ends[2] > 1.51
    with pytest.raises(UserError, match=r"start.reach=nan"):
        FromEncoder(path, reach=float("nan"))


@pytest.mark.weights
def test_it_looks_at_any_size() -> None:
    for side in (64, 256, 1024):
        assert look(torch.zeros(1, 3, side, side), lpips_network("alex")).shape == (1, 1155, 15, 15)


@pytest.mark.weights
def test_the_encoder_knows_faces() -> None:
    """Samples never trained on: nearer in W and in the picture than the mean face is."""
    generator = real()
    encoder = load_encoder("encoder_mobile_stylegan_ffhq", generator)
    mean = Encoder(generator.num_ws, generator.w_dim)
    mean.initialise(0, generator.statistics())
    found, average = (measure_encoder(generator, e, range(1_000_000, 1_000_003), 0) for e in (encoder, mean))
    assert found["unexplained"] < 0.8 * average["unexplained"]
    assert found["lpips_vgg"] < 0.8 * average["lpips_vgg"]
