"""Masks: what they cover, and that a masked loss sees nothing else."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import skimage.data
import torch

from gan_inversion.errors import UserError
from gan_inversion.faces import masks
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.faces.masks import face_mask, mask_of, person_mask, weighted_mean
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import Photo, area_resize, to_tensor
from gan_inversion.interfaces import Loss, Target, Trial
from gan_inversion.losses.lpips import LPIPS
from gan_inversion.losses.ms_ssim import MSSSIM
from gan_inversion.losses.pixel import Pixel
from tests.conftest import drawn, make_inverter

LOSSES = [Pixel(mask="face"), MSSSIM(mask="face"), pytest.param(LPIPS(mask="face"), marks=pytest.mark.weights)]


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that fills the middle of every picture."""

    def square(image: torch.Tensor) -> torch.Tensor:
        mask, side = torch.zeros_like(image[:, :1]), image.shape[-1]
        mask[:, :, side // 4 : -side // 4, side // 4 : -side // 4] = 1
        return mask

    monkeypatch.setitem(masks.MASKS, "face", square)


@pytest.fixture(scope="module")
def astronaut() -> torch.Tensor:
    return to_tensor(FFHQ(512)(Photo(skimage.data.astronaut(), "astronaut.png", "0"), "astronaut").pixels)


def test_a_mean_by_hand() -> None:
    values, mask = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    assert weighted_mean(values, mask).item() == pytest.approx((1 + 1) / 1.5)
    assert weighted_mean(values, None).item() == pytest.approx(2.5)
    fine = mask.repeat_interleave(3, 2).repeat_interleave(3, 3)  # a mask of another size counts by its share
    assert weighted_mean(values, fine).item() == pytest.approx(4 / 3)


@pytest.mark.usefixtures("middle")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: type(x).__name__)
def test_only_the_masked_part_counts(loss: Loss, generator: Tiny) -> None:
    """Noise in a far corner: nothing for a masked loss, something for the other; in the middle it is the other way about."""
    random = torch.Generator().manual_seed(0)
    goal = torch.rand(1, 3, 256, 256, generator=random) * 0.2
    corner, centre = goal.clone(), goal.clone()
    corner[:, :, :8, :8] += torch.rand(1, 3, 8, 8, generator=random)
    centre[:, :, 124:132, 124:132] += torch.rand(1, 3, 8, 8, generator=random)
    target, ws = Target(goal, generator.statistics()), torch.zeros(1, 1, 1)
    masked, whole = (one.bind(target) for one in (loss, replace(loss, mask=None)))  # type: ignore[type-var]
    assert masked(Trial(corner, ws)).item() < 0.1 * whole(Trial(corner, ws)).item()
    assert masked(Trial(centre, ws)).item() > 1.5 * whole(Trial(centre, ws)).item()
    assert masked(Trial(goal, ws)).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.usefixtures("middle")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: type(x).__name__)
def test_faces_stay_apart(loss: Loss, generator: Tiny) -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 64, 64, generator=random) * 2 - 1 for _ in range(2))
    ws = torch.zeros(2, 1, 1)
    both = loss.bind(Target(b, generator.statistics()))(Trial(a, ws))
    for i in range(2):
        alone = loss.bind(Target(b[i : i + 1], generator.statistics()))(Trial(a[i : i + 1], ws[:1]))
        assert torch.allclose(alone, both[i : i + 1], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("middle")
@pytest.mark.parametrize("loss", [Pixel(), MSSSIM(), pytest.param(LPIPS(), marks=pytest.mark.weights)])
def test_the_key_moves_the_result(loss: Loss, generator: Tiny) -> None:
    """Result and key of the result, with the mask read from the whole picture also where steps see smaller ones."""
    face = drawn(generator, 1)
    settings = {"steps": 3, "previews": (32,), "previews_until": (0.5,)}
    plain, masked = (
        make_inverter(generator, losses={loss.name: one}, **settings)
        for one in (loss, replace(loss, mask="face"))  # type: ignore[type-var]
    )
    assert plain.key(face, 0) != masked.key(face, 0)
    assert not torch.equal(plain([face], [0])[0].ws, masked([face], [0])[0].ws)


def test_masks_are_read_from_the_whole_picture(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def remember(image: torch.Tensor) -> torch.Tensor:
        seen.append(image.shape[-1])
        return torch.ones_like(image[:, :1])

    monkeypatch.setitem(masks.MASKS, "person", remember)
    make_inverter(generator, losses={"pixel": Pixel(mask="person")}, steps=2, previews=(32,), previews_until=(1.0,))(
        [drawn(generator, 1)], [0]
    )
    assert seen == [64, 64], "once for each resolution that steps see"


@pytest.mark.parametrize("loss", [Pixel, LPIPS, MSSSIM])
def test_an_unknown_mask_is_refused(loss: type[Pixel]) -> None:
    with pytest.raises(UserError, match=f"losses.{loss.name}.mask=hair: choose one of face, person, or null"):
        loss(mask="hair")


@pytest.mark.weights
def test_where_a_person_is(astronaut: torch.Tensor) -> None:
    """The face covers eyes and chin and no corner; the person more, with what is below; edges are soft; rest 0..1."""
    face, person = face_mask(astronaut), person_mask(astronaut)
    for mask in (face, person):
        assert mask.shape == (1, 1, 512, 512)
        assert 0 <= mask.min() < 0.01
        assert 0.99 < mask.max() <= 1
    for x, y in ((0.375, 0.472), (0.625, 0.472), (0.5, 0.6), (0.5, 0.75)):  # eyes, nose, mouth
        assert face[0, 0, int(y * 512), int(x * 512)] > 0.95
        assert person[0, 0, int(y * 512), int(x * 512)] > 0.95
    assert face[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.01
    assert 0.2 < face.mean() < 0.4 < person.mean() < 0.95
    assert ((face > 0.05) & (face < 0.95)).float().mean() > 0.01
    mirrored = face_mask(astronaut.flip(3)).flip(3)
    assert (face - mirrored).abs().mean() < 0.02


@pytest.mark.weights
def test_a_batch_of_masks_is_its_pictures(astronaut: torch.Tensor) -> None:
    two = torch.cat([astronaut, astronaut.flip(3)])
    assert torch.equal(person_mask(two)[:1], person_mask(astronaut))
    assert torch.equal(face_mask(two)[1:], face_mask(astronaut.flip(3)))


@pytest.mark.weights
def test_nothing_found_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        mask = mask_of("face", torch.zeros(1, 3, 64, 64))
    assert torch.equal(mask, torch.ones(1, 1, 64, 64))
    assert "mask=face: nothing was found" in caplog.text


@pytest.mark.weights
def test_the_background_is_free(generator: Tiny, astronaut: torch.Tensor) -> None:
    """Another background costs a masked loss little; LPIPS looks around each place, so edges still count."""
    goal = area_resize(astronaut, 256)
    other = torch.where(person_mask(goal) > 0.5, goal, -goal)
    trial = Trial(other, torch.zeros(1, 1, 1))
    for loss, share in ((Pixel(), 0.1), (LPIPS(), 0.5)):
        whole, masked = (
            replace(loss, mask=kind).bind(Target(goal, generator.statistics()))(trial).item()
            for kind in (None, "person")
        )
        assert masked < share * whole


def test_pixels_of_a_mask_are_those_of_the_picture(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask of half the picture halves what counts, at each of the sizes."""
    half = torch.zeros(1, 1, 64, 64)
    half[..., :32] = 1
    monkeypatch.setitem(masks.MASKS, "face", lambda _: half)
    goal, image = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    image[..., :32], image[..., 32:] = 0.5, 1.0
    bound = Pixel(sizes=(64, 16), mask="face").bind(Target(goal, generator.statistics()))
    assert bound(Trial(image, torch.zeros(1, 1, 1))).item() == pytest.approx(0.25)
