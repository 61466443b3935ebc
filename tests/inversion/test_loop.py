"""The loop: what is returned, when a face stops, and that faces never meet."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import to_tensor, to_uint8
from gan_inversion.interfaces import AlignedFace, Step, Target, Trial
from gan_inversion.inversion.adam import Adam
from gan_inversion.inversion.loop import Optimiser
from gan_inversion.inversion.starts import BestOf
from gan_inversion.latents import load_latents, render, save_latents
from gan_inversion.losses.ms_ssim import MSSSIM
from gan_inversion.losses.noise import Noise
from gan_inversion.losses.pixel import Pixel
from gan_inversion.spaces.w import W
from gan_inversion.spaces.z import Z
from gan_inversion.store.store import Record, Store
from tests.conftest import drawn, latents, make_inverter


def test_known_answer(generator: Tiny) -> None:
    """Sample w, render, invert: the picture comes back, and w with it."""
    inverter = make_inverter(generator, steps=300, learning_rate=0.05, space=W(), losses={"pixel": Pixel(sizes=(64,))})
    (found,) = inverter([drawn(generator, 3)], [0])
    begin = make_inverter(generator, steps=0)([drawn(generator, 3)], [0])[0]
    assert found.losses["pixel"] < 0.01 * begin.losses["pixel"]
    truth = latents(generator, 3)
    assert (found.ws - truth).norm() < 0.25 * (begin.ws - truth).norm()


@pytest.mark.parametrize("space", [Z(), W()], ids=repr)
def test_every_space_improves(generator: Tiny, space: object) -> None:
    inverter = make_inverter(generator, steps=40, space=space)
    trail: list[float] = []
    (found,) = inverter([drawn(generator, 3)], [0], lambda step: trail.append(step.losses["total"]))
    assert found.losses["total"] < 0.8 * trail[0]
    if isinstance(space, W):
        assert torch.equal(found.ws[0], found.ws[-1])


def test_what_is_returned_redraws_what_was_scored(generator: Tiny) -> None:
    """Law 2, for best and for last, with noise on the latents while searching."""
    face = drawn(generator, 1)
    for keep in ("best", "last"):
        inverter = make_inverter(generator, keep=keep, latent_noise=0.3, latent_noise_until=5.0)
        (found,) = inverter([face], [0])
        target = to_tensor(face.pixels)
        image = generator.synthesis(found.ws[None])
        bound = inverter.losses["pixel"].bind(Target(target, generator.statistics()))
        assert bound(Trial(image, found.ws[None])).item() == found.losses["pixel"]


def test_noise_maps_are_optimised_kept_and_redrawn(generator: Tiny, tmp_path: Path) -> None:
    """Law 2 with noise: the maps are part of the result, in files too; each keeps its own mean and spread."""
    own, random = generator.noise_maps(), torch.Generator().manual_seed(5)
    other = [one.std() * torch.randn(one.shape, generator=random) for one in own]
    face = AlignedFace(to_uint8(generator.synthesis(latents(generator, 1)[None], other)), "face")
    losses = {"pixel": Pixel(sizes=(64,)), "noise": Noise(weight=1e-3)}
    (without,) = make_inverter(generator, steps=20, losses={"pixel": Pixel(sizes=(64,))})([face], [0])
    inverter = make_inverter(generator, steps=20, noise_maps=True, losses=losses)
    (found,) = inverter([face], [0])
    assert not without.noise
    assert found.losses["pixel"] < 0.7 * without.losses["pixel"]
    for ours, theirs in zip(found.noise, own, strict=True):
        assert ours.shape == theirs.shape[2:]
        assert not torch.equal(ours, theirs[0, 0])
        assert ours.mean().item() == pytest.approx(theirs.mean().item(), abs=1e-4)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=1e-3)
    image = render(generator, found.latents)
    bound = inverter.losses["pixel"].bind(Target(to_tensor(face.pixels), generator.statistics()))
    assert bound(Trial(image, found.ws[None])).item() == found.losses["pixel"]
    assert all(torch.equal(a, b) for a, b in zip(own, generator.noise_maps(), strict=True))  # the generator's own stay
    save_latents(tmp_path / "a.safetensors", {"ws": found.latents}, generator.sha256)
    assert torch.equal(render(generator, load_latents(tmp_path / "a.safetensors", "ws").latents), image)
    Store(str(tmp_path)).put("ab", Record(found, {}))
    stored = Store(str(tmp_path)).get("ab")
    assert stored is not None
    assert torch.equal(render(generator, stored.inversion.latents), image)


def test_a_batch_with_noise_maps_is_its_faces(generator: Tiny) -> None:
    inverter = make_inverter(generator, steps=5, noise_maps=True)
    both = inverter([drawn(generator, 1), drawn(generator, 2)], [0, 0])
    (alone,) = inverter([drawn(generator, 2)], [0])
    assert all(torch.equal(a, b) for a, b in zip(both[1].noise, alone.noise, strict=True))


def test_the_noise_loss_needs_noise(generator: Tiny) -> None:
    with pytest.raises(UserError, match=r"losses\.noise needs noise maps: set inversion\.noise_maps=true"):
        make_inverter(generator, losses={"noise": Noise()})([drawn(generator, 1)], [0])


def test_best_is_the_lowest_seen_and_last_is_the_last(generator: Tiny) -> None:
    trail: list[Step] = []
    rough = {"steps": 20, "learning_rate": 1.5, "warmup": 1, "hold": 1.0}  # jumps about: its last step is not its best
    for keep in ("best", "last"):
        trail.clear()
        (found,) = make_inverter(generator, keep=keep, **rough)([drawn(generator, 1)], [0], trail.append)
        totals = [step.losses["total"] for step in trail]
        assert len(totals) == 21  # the result of the last update is scored too
        lowest = totals.index(min(totals))
        assert lowest != 20, "the test needs a run that ends worse than its best"
        assert found.best_step == (lowest if keep == "best" else 20)
        assert torch.equal(found.ws, trail[found.best_step].ws[0])
        assert found.losses["total"] == totals[found.best_step]
        assert found.steps == 20


def test_schedule() -> None:
    o = Optimiser(steps=100, learning_rate=0.05, warmup=10, hold=0.3)
    assert o.rate(0) == pytest.approx(0.005)
    assert o.rate(9) == o.rate(30) == pytest.approx(0.05)
    assert o.rate(65) == pytest.approx(0.025)
    assert o.rate(99) < 1e-4
    n = Optimiser(steps=100, latent_noise=0.2, latent_noise_until=0.5)
    assert n.noise_scale(0) == pytest.approx(0.2)
    assert n.noise_scale(25) == pytest.approx(0.05)
    assert n.noise_scale(50) == n.noise_scale(80) == 0


def test_first_update_is_adam_s(generator: Tiny) -> None:
    """Adam's first step is the learning rate in each coordinate, against the gradient's sign."""
    trail: list[Step] = []
    make_inverter(generator, steps=1, warmup=1, learning_rate=0.07)([drawn(generator, 1)], [0], trail.append)
    moved = trail[1].ws - trail[0].ws
    assert moved.abs().max().item() == pytest.approx(0.07, rel=1e-3)
    assert trail[1].losses["total"] < trail[0].losses["total"]


def test_weights_count(generator: Tiny) -> None:
    """The total is the weighted sum of the reported terms."""
    losses = {"a": Pixel(weight=0.5), "b": Pixel(weight=2.0, kind="l1")}
    (found,) = make_inverter(generator, losses=losses)([drawn(generator, 1)], [0])
    assert found.losses["total"] == pytest.approx(0.5 * found.losses["a"] + 2.0 * found.losses["b"])


def test_a_batch_equals_its_faces(generator: Tiny) -> None:
    """To the bit: with noise, in any order, and though one of them stops early."""
    faces = [drawn(generator, seed) for seed in range(4)]
    seeds = [10, 11, 12, 13]
    inverter = make_inverter(generator, steps=12, latent_noise=0.2)
    totals = sorted(result.losses["total"] for result in inverter(faces, seeds))
    goal = (totals[0] + totals[1]) / 2  # one face reaches it
    inverter = make_inverter(generator, steps=12, latent_noise=0.2, target=goal)
    together = inverter(faces, seeds)
    alone = [inverter([face], [seed])[0] for face, seed in zip(faces, seeds, strict=True)]
    backwards = inverter(faces[::-1], seeds[::-1])[::-1]
    assert sorted(result.stopped for result in together) == ["budget"] * 3 + ["target"]
    for one, two, three in zip(together, alone, backwards, strict=True):
        assert torch.equal(one.ws, two.ws)
        assert torch.equal(one.ws, three.ws)
        assert one.losses == two.losses == three.losses
        assert (one.best_step, one.steps, one.stopped) == (two.best_step, two.steps, two.stopped)


def test_seeds_matter_and_repeat(generator: Tiny) -> None:
    inverter = make_inverter(generator, latent_noise=0.5)
    face = drawn(generator, 1)
    a, b, c = (inverter([face], [seed])[0].ws for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("space", [W(), Z()], ids=repr)
def test_noise_does_not_leave_w(generator: Tiny, space: object) -> None:
    """Where the rows of ws are one, the noise on them is one too."""
    inverter = make_inverter(generator, space=space, latent_noise=0.5, latent_noise_until=9.0, keep="last")
    (found,) = inverter([drawn(generator, 1)], [0])
    assert torch.equal(found.ws, found.ws[:1].expand_as(found.ws))


def test_what_a_start_chooses_by_is_not_held_out(generator: Tiny) -> None:
    losses = {"ms_ssim": MSSSIM()}
    assert make_inverter(generator, losses=losses).pursued == {"ms_ssim"}
    chosen = make_inverter(generator, losses=losses, start=BestOf(near="pixel"))
    assert chosen.pursued == {"ms_ssim", "mse", "psnr"}


def test_plateau_stops_a_face(generator: Tiny) -> None:
    inverter = make_inverter(generator, steps=50, patience=5, min_improvement=0.5)
    trail: list[Step] = []
    (found,) = inverter([drawn(generator, 1)], [0], trail.append)
    assert found.stopped == "plateau"
    assert 5 <= found.steps < 50
    assert trail[-1].step == found.steps


def test_patience_that_could_stop_nothing_is_refused() -> None:
    """It begins with the first true picture: so many more of them must follow."""
    assert Optimiser(20, (16,), (0.8,), patience=4).patience == 4  # 4 updates and the result see true pictures
    with pytest.raises(UserError, match=r"inversion.patience=5 judges true pictures, and 5 of the steps see them"):
        Optimiser(20, (16,), (0.8,), patience=5)
    with pytest.raises(UserError, match=r"inversion.patience=3 .* and 3 of"):
        Optimiser(2, (), (), patience=3)


@dataclasses.dataclass(frozen=True)
class BreaksAt:
    """A loss that turns NaN at a given call."""

    name: ClassVar[str] = "breaks_at"

    call: int
    weight: float = 1.0
    optimised_metrics: tuple[str, ...] = ()

    def bind(self, target: Target) -> object:
        calls = 0

        def loss(trial: Trial) -> torch.Tensor:
            nonlocal calls
            calls += 1
            value = (trial.image - target.image).square().mean((1, 2, 3))
            return value * math.nan if calls > self.call else value

        return loss


def test_nan_keeps_the_best_and_warns(generator: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    (found,) = make_inverter(generator, losses={"x": BreaksAt(4)})([drawn(generator, 1, "anna")], [0])
    assert found.stopped == "diverged"
    assert math.isfinite(found.losses["total"])
    assert found.best_step < 4
    assert "anna: loss or gradient became infinite at step 4" in caplog.text


def test_nan_at_the_start_is_an_error(generator: Tiny) -> None:
    with pytest.raises(UserError, match="anna: the loss is nan at the very start"):
        make_inverter(generator, losses={"x": BreaksAt(0)})([drawn(generator, 1, "anna")], [0])


def test_ctrl_c_keeps_the_best_so_far(generator: Tiny) -> None:
    def interrupt(step: Step) -> None:
        if step.step == 4 and step.face == 1:
            raise KeyboardInterrupt

    faces = [drawn(generator, 0), drawn(generator, 1)]
    found = make_inverter(generator)(faces, [0, 0], interrupt)
    assert [r.stopped for r in found] == ["interrupted", "interrupted"]
    assert not found[0].finished
    assert found[0].steps == 4
    whole = make_inverter(generator, steps=10)(faces, [0, 0])
    assert found[0].losses["total"] > whole[0].losses["total"]


def test_the_generator_stays_frozen(generator: Tiny) -> None:
    """Law 1."""
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    make_inverter(generator)([drawn(generator, 1)], [0])
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in generator.parameters())


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UserError, match="choose best or last"):
        Optimiser(keep="first")
    with pytest.raises(UserError, match=r"learning_rate must be above 0"):
        Optimiser(learning_rate=0.0)


def test_the_key_names_all_that_matters(generator: Tiny) -> None:
    """Whatever can change the result changes the key; the name of the face does not."""
    torch.set_num_threads(1)  # whatever an earlier test left
    base, face = make_inverter(generator), drawn(generator, 1)
    key = base.key(face, 0)
    assert key == base.key(dataclasses.replace(face, name="other", photo_sha256="x"), 0)
    assert key == base.key(face, 1)  # nothing is drawn
    noisy, best = make_inverter(generator, latent_noise=0.1), make_inverter(generator, start=BestOf(near="pixel"))
    others = [base.key(drawn(generator, 2), 0), *(one.key(face, seed) for one in (noisy, best) for seed in (0, 1))]
    for field in dataclasses.fields(Optimiser):
        special = {"keep": "last", "betas": (0.8, 0.9), "target": 0.1, "previews": (16,), "previews_until": (0.3,)}
        changes = {field.name: special.get(field.name, 7)}
        if field.name in ("previews", "previews_until", "correct_every"):  # they go together
            changes = {"previews": (32,), "previews_until": (0.5,), **changes}
        if field.name == "min_improvement":
            changes["patience"] = 2
        if field.name == "latent_noise_until":
            changes |= {"latent_noise": 0.2, "latent_noise_until": 0.4}
        if field.name == "require":  # judges a result that is there
            continue
        others.append(make_inverter(generator, **changes).key(face, 0))
    others.append(make_inverter(generator, space=W()).key(face, 0))
    others.append(make_inverter(generator, losses={"pixel": Pixel()}).key(face, 0))
    torch.set_num_threads(2)
    others.append(base.key(face, 0))
    torch.set_num_threads(1)
    assert key not in others
    assert len(set(others)) == len(others)


def test_previews_come_first_and_the_true_picture_decides(generator: Tiny) -> None:
    """Coarse to fine; what is kept was scored on the true picture."""
    seen: list[int] = []
    inverter = make_inverter(generator, steps=10, previews=(16, 32), previews_until=(0.4, 0.8))
    (found,) = inverter([drawn(generator, 1)], [0], lambda step: seen.append(step.image.shape[-1]))
    assert seen == [16] * 4 + [32] * 4 + [64] * 3
    assert found.best_step >= 8
    (alone,) = make_inverter(generator, steps=10, previews=(16,), previews_until=(1.0,))([drawn(generator, 1)], [0])
    assert alone.best_step == 10  # even if all updates were made on previews, the result is scored


def test_previews_keep_a_batch_equal_to_its_faces(generator: Tiny) -> None:
    inverter = make_inverter(generator, steps=6, previews=(32,), previews_until=(0.7,))
    faces = [drawn(generator, seed) for seed in (1, 2, 3)]
    together = inverter(faces, [0, 0, 0])
    for face, found in zip(faces, together, strict=True):
        assert torch.equal(inverter([face], [0])[0].ws, found.ws)


def test_previews_of_other_heads_are_another_result(generator: Tiny) -> None:
    """The key follows the heads' file, but only where previews are used."""
    face, other = drawn(generator, 1), tiny()
    other.use_previews({}, "other heads")
    for used, changes in ((True, {"previews": (32,), "previews_until": (0.5,)}), (False, {})):
        keys = [make_inverter(g, **changes).key(face, 0) for g in (generator, other)]
        assert (keys[0] != keys[1]) is used


def test_previews_must_make_sense() -> None:
    for changes in (
        {"previews": (32,)},
        {"previews": (32, 64), "previews_until": (0.5, 0.2)},
        {"previews": (8,), "previews_until": (0.5,)},
        {"previews": (32,), "previews_until": (1.5,)},
    ):
        with pytest.raises(UserError, match="previews"):
            Optimiser(**changes)


def test_adam_is_torch_s_to_the_bit() -> None:
    """Also where a leaf has no gradient, and where the rate changes."""
    random = torch.Generator().manual_seed(0)
    first = [torch.randn(3, 4, generator=random) for _ in range(2)]
    ours, theirs = ([leaf.clone().requires_grad_() for leaf in first] for _ in range(2))
    adam, reference = Adam(ours, 0.1, (0.7, 0.95)), torch.optim.Adam(theirs, 0.1, (0.7, 0.95))
    for step in range(6):
        for leaves in (ours, theirs):
            moved = leaves if step % 2 else leaves[:1]
            torch.stack([(leaf - 1).square().sum() for leaf in moved]).sum().backward()
        adam.learning_rate = reference.param_groups[0]["lr"] = 0.1 / (step + 1)
        adam.step()
        reference.step()
        adam.forget()
        reference.zero_grad(set_to_none=True)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(ours, first, strict=True))
