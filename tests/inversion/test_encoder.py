"""The encoder: a face in, ws out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.assets.trained import save_trained
from gan_inversion.errors import UserError
from gan_inversion.estimators.identity import dlib_resnet
from gan_inversion.estimators.lpips_network import lpips_network
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import to_tensor
from gan_inversion.inversion.encoder import ENCODER, Encoder, Sight, encode, load_encoder, look, new_encoder
from gan_inversion.inversion.starts import FromEncoder
from gan_inversion.spaces.p_space import from_p, whiten
from gan_inversion.training.encoder import measure_encoder, unexplained
from tests.conftest import drawn, latents, make_inverter, real


def untrained(generator: Tiny) -> Encoder:
    return new_encoder(generator, 0).eval()


def moved(encoder: Encoder, deviation: float = 1.0) -> Encoder:
    with torch.no_grad():
        encoder.common.bias.normal_(std=deviation, generator=torch.Generator().manual_seed(0))
    return encoder


def sight(count: int, seed: int) -> Sight:
    random = torch.Generator().manual_seed(seed)
    maps = [torch.randn(count, c, s, s, generator=random) for c, s in ((64, 63), (192, 31), (896, 15))]
    return Sight(torch.randn(count, 3, 256, 256, generator=random), maps, torch.randn(count, 128, generator=random))


def test_untrained_every_face_is_the_mean(generator: Tiny) -> None:
    encoder = untrained(generator)
    steps = encoder(sight(2, 0), sight(2, 1))
    assert not steps.any()
    mean = from_p(generator.statistics().p_mean)
    assert torch.allclose(encoder.ws(steps), mean.expand(2, generator.num_ws, -1))


def test_a_batch_equals_its_faces(generator: Tiny) -> None:
    encoder = untrained(generator)
    torch.nn.init.normal_(encoder.common.weight, std=0.1)
    both, drawn = sight(2, 0), sight(2, 1)
    first = [Sight(s.picture[:1], [m[:1] for m in s.maps], s.person[:1]) for s in (both, drawn)]
    assert torch.allclose(encoder(both, drawn)[:1], encoder(*first), atol=1e-5)


def test_the_mean_explains_nothing(generator: Tiny) -> None:
    ws = torch.stack([latents(generator, seed) for seed in range(200)])
    mean = generator.statistics().mean.expand_as(ws)
    assert unexplained(mean, ws, generator).mean() == pytest.approx(1.0, abs=0.15)
    assert unexplained(ws, ws, generator).max() == 0


@pytest.mark.weights
def test_a_start_and_its_identity(generator: Tiny, tmp_path: Path) -> None:
    """Loaded by path; the key follows the content, not the place; another generator's is refused."""
    encoder, face = moved(untrained(generator)), drawn(generator, 1)
    keys = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.safetensors"
        save_trained(path, ENCODER, encoder, generator, {})
        inverter = make_inverter(generator, start=FromEncoder(str(path)), steps=0)
        keys.append(inverter.key(face, 0))
        (found,) = inverter([face], [0])
        with torch.no_grad():
            expected = encode(to_tensor(face.pixels), encoder, generator)[0]
        assert (found.ws - expected).abs().max() < 0.01  # float16 in the file
    assert keys[0] == keys[1]
    with torch.no_grad():
        encoder.common.bias.add_(0.5)
    save_trained(tmp_path / "a.safetensors", ENCODER, encoder, generator, {})
    assert make_inverter(generator, start=FromEncoder(str(tmp_path / "a.safetensors")), steps=0).key(face, 0) != keys[0]
    with pytest.raises(UserError, match="trained for another generator"):
        load_encoder(str(path), tiny(seed=1))


@pytest.mark.weights
def test_passes(generator: Tiny, tmp_path: Path) -> None:
    """Each adds to what the last came to, and however much it adds, the walls of P hold."""
    path = str(tmp_path / "e.safetensors")
    save_trained(Path(path), ENCODER, moved(untrained(generator), 2.0), generator, {})
    target = to_tensor(drawn(generator, 1).pixels)
    found = [whiten(FromEncoder(path, k)(generator, target, "a", 0), generator.statistics()) for k in (1, 2, 6)]
    away = [one.square().mean().item() for one in found]
    assert away[0] < away[1] < away[2]
    assert found[2].abs().max() <= 3.01


@pytest.mark.weights
def test_it_looks_at_any_size() -> None:
    for side in (64, 256, 1024):
        seen = look(torch.zeros(1, 3, side, side), lpips_network("alex"), dlib_resnet())
        assert [list(m.shape) for m in seen.maps] == [[1, 64, 63, 63], [1, 192, 31, 31], [1, 896, 15, 15]]
        assert seen.person.shape == (1, 128)


@pytest.mark.weights
def test_the_encoder_knows_faces() -> None:
    """Samples never trained on: near in the picture (the mean face: above .5), and the same person to FaceRes."""
    generator = real()
    encoder = load_encoder("encoder_mobile_stylegan_ffhq", generator)
    found = measure_encoder(generator, encoder, range(1_000_000, 1_000_002), 0)
    assert found["lpips_vgg"] < 0.35
    assert found["identity_faceres"] > 0.7
