"""Face networks against outputs of their own runtimes, their gradients, and what they see in a sampled face."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from gan_inversion.assets.catalogue import read_catalogue
from gan_inversion.assets.convert_faces import dlib_resnet as convert_dlib
from gan_inversion.assets.convert_faces import faceres as convert_faceres
from gan_inversion.assets.fetch import is_present
from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.errors import UserError
from gan_inversion.estimators import faceres as faceres_module
from gan_inversion.estimators import identity, lpips_network
from gan_inversion.estimators.age_gender import age_gender
from gan_inversion.estimators.chips import chip
from gan_inversion.estimators.faceres import faceres
from gan_inversion.estimators.identity import dlib_resnet
from gan_inversion.image import to_tensor
from gan_inversion.interfaces import Target, Trial
from gan_inversion.losses.identity import Identity
from tests.conftest import real

needs_faceres = pytest.mark.skipif(
    not is_present(read_catalogue()["faceres"]), reason="FaceRes is optional: fetch_weights.py only=[faceres]"
)


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    return to_tensor(draw_face(real(), 5)).reshape(1, 3, 1024, 1024)


def test_chip_by_hand() -> None:
    """A ramp from left to right: the chip's middle is at the square's centre, its width is the square's side."""
    ramp = torch.linspace(-1, 1, 200).expand(1, 3, 200, 200)
    out = chip(ramp, 50)
    assert out.shape == (1, 3, 50, 50)
    assert out.mean().item() == pytest.approx(0.503 * 255, abs=1)
    assert (out[0, 0, 0, -1] - out[0, 0, 0, 0]).item() == pytest.approx(0.696 * 255, rel=0.03)
    wide = chip(ramp, 50, scale=1.2)
    assert (wide[0, 0, 0, -1] - wide[0, 0, 0, 0]).item() == pytest.approx(0.696 * 1.2 * 255, rel=0.03)


@pytest.mark.parametrize(("module", "load"), [(identity, identity.dlib_resnet), (faceres_module, faceres)])
def test_a_device_has_one_network(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, load: Callable[..., object]
) -> None:
    """However it is named: a meta device stands for an accelerator."""
    kind = "DlibResNet" if module is identity else "FaceRes"
    monkeypatch.setattr(module, "load_weights", lambda _: {})
    monkeypatch.setattr(module, kind, lambda _: torch.nn.Identity())
    monkeypatch.setattr(module, "_load", cache(module._load.__wrapped__))
    assert load() is load("cpu") is load(device="cpu")
    assert load("meta") is load("meta:0") is not load()


def test_lpips_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(lpips_network, "LPIPSNetwork", lambda name: made.append(name) or torch.nn.Identity())
    monkeypatch.setattr(lpips_network, "_load", cache(lpips_network._load.__wrapped__))
    load = lpips_network.lpips_network
    assert load("vgg") is load("vgg", "cpu") is load(backbone="vgg") is load(device="cpu", backbone="vgg")
    assert load("alex") is not load("vgg")
    assert made == ["vgg", "alex"]


@pytest.mark.weights
def test_dlib_s_embedding() -> None:
    """Golden numbers of dlib 20.0.1 itself, on a chip that anyone can make."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, (150, 150), interpolation=cv2.INTER_CUBIC)
    out = dlib_resnet()(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0]
    golden = [-0.047626, 0.139334, 0.109429, -0.021353, -0.041602, -0.005373]
    assert out[:6].tolist() == pytest.approx(golden, abs=5e-6)
    assert out.norm().item() == pytest.approx(1.332733, abs=1e-5)


@pytest.mark.weights
def test_identity_loss_has_gradients_for_the_picture_alone(face: torch.Tensor) -> None:
    small = torch.nn.functional.interpolate(face, (256, 256), mode="area")
    loss = Identity().bind(Target(small, real().statistics()))
    image = small.flip(3).clone().requires_grad_()
    value = loss(Trial(image, torch.zeros(1, 16, 512)))
    assert loss(Trial(small, torch.zeros(1, 16, 512))).item() == pytest.approx(0, abs=1e-8)
    answer = Identity(inner=0.0).bind(Target(small, real().statistics()))(Trial(image, torch.zeros(1, 16, 512)))
    assert 0 < answer.item() < 0.36  # mirrored, it is the same person
    assert value.item() > answer.item()  # though not the same picture, place by place
    (gradient,) = torch.autograd.grad(value.sum(), image)
    assert gradient.abs().sum() > 0
    assert not any(tensor.requires_grad for tensor in dlib_resnet().buffers())
    assert Identity().optimised_metrics == ("identity_dlib",)


@pytest.mark.weights
def test_age_and_gender(face: torch.Tensor) -> None:
    (read,) = age_gender().label(face)
    assert 25 < read.age < 50
    assert read.male < 0.1
    (mirrored,) = age_gender().label(face.flip(3))
    assert mirrored.age == pytest.approx(read.age, abs=4)
    both = age_gender().label(torch.cat([face.flip(2), face]))
    assert both[1] == read  # a face's labels do not depend on its neighbours


@pytest.mark.weights
@needs_faceres
def test_faceres_judges(face: torch.Tensor) -> None:
    (judged,) = faceres().label(face)
    assert judged.age == pytest.approx(30.08, abs=0.5)  # as measured when it was added: a change is a mistake
    assert judged.male < 0.3
    with torch.no_grad():
        mine, mirrored = faceres().embed(face), faceres().embed(face.flip(3))
        other = faceres().embed(to_tensor(draw_face(real(), 3)).reshape(1, 3, 1024, 1024))
    assert faceres().similarity(mine, mirrored).item() > 0.8
    assert faceres().similarity(mine, other).item() < 0.6


@pytest.mark.parametrize(
    ("converter", "members", "message"),
    [
        (convert_dlib, {"a.dat": b"nothing"}, "no layer found"),
        (
            convert_dlib,
            {"a.dat": b"\x01\x05con_4\x01\x02\x02\x80\x12\x01\x01\x01\x01\x01\x01MEF"},
            "damaged or cut short",
        ),
        (convert_faceres, {"faceres.json": b"{}", "faceres.bin": b""}, "damaged"),
        (
            convert_faceres,
            {
                "faceres.json": json.dumps(
                    {"weightsManifest": [{"weights": [{"name": "a", "shape": [2], "dtype": "float32"}]}]}
                ).encode(),
                "faceres.bin": b"\0" * 12,
            },
            "4 bytes that no weight claims",
        ),
    ],
)
def test_other_files_are_refused(
    converter: Callable[[dict[str, bytes]], object], members: dict[str, bytes], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        converter(members)
