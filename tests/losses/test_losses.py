"""Six questions of each loss: runs, type, shape, a value computed by hand, zero at the target, the right gradient."""

from __future__ import annotations

import math

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Loss, Target, Trial
from gan_inversion.losses.lpips import LPIPS
from gan_inversion.losses.ms_ssim import MSSSIM, ms_ssim
from gan_inversion.losses.noise import Noise, autocorrelation
from gan_inversion.losses.pixel import Pixel
from gan_inversion.losses.prior import DeltaNorm, PNorm, delta_norm, p_norm

IMAGE_LOSSES = [Pixel(sizes=(32,)), Pixel(kind="l1"), Pixel(kind="huber"), MSSSIM()]
WITH_WEIGHTS = [pytest.param(LPIPS(backbone=name), marks=pytest.mark.weights) for name in ("alex", "vgg")]


def trial(seed: int, generator: Tiny, count: int = 2) -> Trial:
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, 64, 64, generator=random) * 2 - 1
    return Trial(image, torch.randn(count, generator.num_ws, generator.w_dim, generator=random))


@pytest.mark.parametrize("loss", [*IMAGE_LOSSES, *WITH_WEIGHTS, PNorm(), DeltaNorm()], ids=lambda x: repr(x)[:30])
def test_one_number_a_face_and_faces_apart(loss: Loss, generator: Tiny) -> None:
    a, b = trial(0, generator), trial(1, generator)
    both = loss.bind(Target(b.image, generator.statistics()))(a)
    assert both.shape == (2,)
    assert both.dtype == torch.float32
    for i in range(2):
        alone = loss.bind(Target(b.image[i : i + 1], generator.statistics()))
        assert torch.allclose(alone(Trial(a.image[i : i + 1], a.ws[i : i + 1])), both[i : i + 1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [*IMAGE_LOSSES, *WITH_WEIGHTS], ids=lambda x: repr(x)[:30])
def test_zero_at_the_target_and_downhill_towards_it(loss: Loss, generator: Tiny) -> None:
    goal, image = trial(0, generator).image, trial(1, generator).image.requires_grad_()
    bound = loss.bind(Target(goal, generator.statistics()))
    ws = torch.zeros(2, generator.num_ws, generator.w_dim)
    assert bound(Trial(goal, ws)).abs().max() < 1e-5
    value = bound(Trial(image, ws))
    assert (value > 0.01).all()
    value.sum().backward()
    assert image.grad is not None
    assert bound(Trial(image - 1e-3 * image.grad / image.grad.norm(), ws)).sum() < value.sum()


def test_pixel_by_hand(generator: Tiny) -> None:
    goal, image = torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.5)
    expected = {"l2": 0.25, "l1": 0.5, "huber": 0.1 * (0.5 - 0.05)}
    for kind, value in expected.items():
        bound = Pixel(kind=kind, sizes=(64, 16)).bind(Target(goal, generator.statistics()))
        assert bound(Trial(image, torch.zeros(1, 1, 1))).item() == pytest.approx(value)


def test_pixel_sizes_see_what_they_should(generator: Tiny) -> None:
    """A checkerboard averages away at half the size, and not at the full one."""
    board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    for size, value in ((64, 1.0), (32, 0.0)):
        bound = Pixel(sizes=(size,)).bind(Target(torch.zeros(1, 3, 64, 64), generator.statistics()))
        assert bound(Trial(board, torch.zeros(1, 1, 1))).item() == pytest.approx(value)


def test_noise_by_hand() -> None:
    """Stripes: each column is minus the next and each row the last, so both correlations are of size 1; coarser, nothing."""
    stripes = (torch.arange(16) % 2 * 2.0 - 1).expand(1, 1, 16, 16)
    assert autocorrelation(stripes).item() == pytest.approx(2.0, rel=1e-2)
    white = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(white, 3, 1, 1)
    assert autocorrelation(white).item() < 0.15 < 0.5 < autocorrelation(smooth).item()
    assert autocorrelation(5 * white + 3).item() == pytest.approx(autocorrelation(white).item(), rel=1e-2)


def test_noise_is_one_number_a_face(generator: Tiny) -> None:
    maps = tuple(torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(side)) for side in (16, 32))
    bound = Noise().bind(Target(torch.zeros(2, 3, 64, 64), generator.statistics()))
    both = bound(Trial(torch.zeros(2, 3, 64, 64), torch.zeros(2, 1, 1), maps))
    for i in range(2):
        alone = bound(Trial(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 1), tuple(one[i : i + 1] for one in maps)))
        assert torch.allclose(alone, both[i : i + 1])


def test_delta_norm_by_hand() -> None:
    """Rows (0, 0) and (2, 0): each 1 from their mean."""
    assert delta_norm(torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])).item() == 1.0


def test_p_norm_is_one_for_samples_and_grows_outside(generator: Tiny) -> None:
    z = torch.randn(2000, generator.z_dim, generator=torch.Generator().manual_seed(5))
    w = generator.mapping(z)[:, None].repeat(1, 3, 1)
    statistics = generator.statistics()
    assert p_norm(w, statistics).mean().item() == pytest.approx(1.0, abs=0.1)
    assert p_norm(3 * w, statistics).mean() > 5


def test_p_norm_undoes_the_last_activation(generator: Tiny) -> None:
    """Equal steps up and down from zero count five times more downwards: P stretches what leaky ReLU squeezed."""
    statistics = generator.statistics()
    white = torch.linalg.inv(statistics.p_whiten)
    p = torch.zeros(1, 1, generator.w_dim)
    p[..., 0] = 2.0
    centred = p @ white + statistics.p_mean  # the point of P whose whitened coordinates are (2, 0, ...)
    w = torch.where(centred > 0, centred, centred / 5)
    assert p_norm(w, statistics).item() == pytest.approx(4 / generator.w_dim, rel=1e-3)


def test_ms_ssim_against_a_direct_computation() -> None:
    """One scale, written out with a dense window, at an image too small for more."""
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    line = torch.tensor([math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)])
    window = line[:, None] * line / line.sum() ** 2
    values = []
    for channel in range(3):
        for y in range(6):
            for x in range(6):
                p, q = (im[0, channel, y : y + 11, x : x + 11] for im in (a, b))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
                cov = (window * p * q).sum() - mp * mq
                c1, c2 = 0.02**2, 0.06**2
                values.append((2 * mp * mq + c1) / (mp**2 + mq**2 + c1) * (2 * cov + c2) / (vp + vq + c2))
    expected = torch.stack(values).mean().clamp_min(1e-6)
    assert ms_ssim(a, b).item() == pytest.approx(expected.item(), rel=1e-4)


def test_ms_ssim_falls_with_noise() -> None:
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    values = [ms_ssim(image, image + s * noise).item() for s in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1.0)
    assert values[0] > values[1] > values[2] > 0


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UserError, match="choose one of l2, l1, huber"):
        Pixel(kind="l3")


@pytest.mark.weights
@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_lpips_is_the_package_s_own(backbone: str) -> None:
    """Our split into features and distance equals one call of `lpips.LPIPS`; weights frozen, image differentiable."""
    import lpips

    from gan_inversion.assets.catalogue import load_weights
    from gan_inversion.estimators.lpips_network import BACKBONES, lpips_network

    network, package = lpips_network(backbone), lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 64, 64, generator=random) * 2 - 1 for _ in range(2))
    state = load_weights(BACKBONES[backbone])
    convolutions = [layer for layer in package.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for i, layer in enumerate(convolutions):
            layer.weight.copy_(state[f"{i}.weight"])
            layer.bias.copy_(state[f"{i}.bias"])
        theirs = package(a, b).flatten()
    image = a.clone().requires_grad_()
    ours = network.distance(network.features(image), network.features(b))
    assert torch.allclose(ours, theirs, rtol=1e-4)
    ours.sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(tensor.requires_grad for tensor in network.state_dict(keep_vars=True).values())


@pytest.mark.weights
def test_lpips_has_trained_backbones() -> None:
    """Golden values on two seeded pictures; random backbones give something else."""
    from gan_inversion.estimators.lpips_network import lpips_network

    random = torch.Generator().manual_seed(7)
    a, b = (torch.rand(1, 3, 64, 64, generator=random) * 2 - 1 for _ in range(2))
    values = {}
    for backbone in ("alex", "vgg"):
        network = lpips_network(backbone)
        values[backbone] = network.distance(network.features(a), network.features((a + b) / 2)).item()
    assert values == pytest.approx(GOLDEN_LPIPS, rel=1e-4)


GOLDEN_LPIPS = {"alex": 0.0912786, "vgg": 0.2168322}


@pytest.mark.weights
def test_lpips_size_weights_add_up(generator: Tiny) -> None:
    a, b = trial(0, generator, 1), trial(1, generator, 1)
    target = Target(b.image, generator.statistics())
    one, half = (LPIPS(sizes=(size,), size_weights=(1.0,)).bind(target)(a) for size in (64, 48))
    both = LPIPS(sizes=(64, 48), size_weights=(1.0, 0.5)).bind(target)(a)
    assert torch.allclose(both, one + 0.5 * half)


def test_a_single_row_is_at_its_mean(generator: Tiny) -> None:
    ws = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0))
    loss = DeltaNorm().bind(Target(torch.zeros(2, 3, 8, 8), generator.statistics()))
    assert loss(Trial(torch.zeros(2, 3, 8, 8), ws)).tolist() == [0.0, 0.0]
    with pytest.raises(UserError, match=r"losses.delta_norm.late=nan"):
        DeltaNorm(late=float("nan"))
