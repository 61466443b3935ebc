"""Directions: fitted ones change their own label and no other; closed forms and published files are what they say."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_inversion.editing.closed_form import pca, sefa
from gan_inversion.editing.files import Directions, load_directions, save_directions
from gan_inversion.editing.fit import fit
from gan_inversion.editing.reader import fit_reader, from_tensors, to_tensors
from gan_inversion.editing.regions import choose
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.losses.prior import p_norm
from gan_inversion.metrics.directions import spearman
from gan_inversion.spaces.p_space import from_p, to_p, unwhiten, whiten
from gan_inversion.spaces.population import sample_w


def linear_world(generator: Tiny) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """w, two labels that share a coordinate of whitened P, and an identity that depends on a third."""
    w = sample_w(generator, 2000, 3)[1]
    c = whiten(w, generator.statistics())
    labels = torch.stack([c[:, 0] + 0.6 * c[:, 1], c[:, 1]], 1) * 12 + 30
    return w, labels, c[:, [0, 2]].clone()


def test_a_direction_moves_its_label_alone(generator: Tiny) -> None:
    w, labels, identity = linear_world(generator)
    found = fit(w, labels, identity, generator.statistics(), 0.0)
    assert (found.correlation > 0.99).all()
    directions = Directions({"a": found.vectors[0], "b": found.vectors[1]}, {}, "p")
    for name, change in (("a", [1.0, 0.0]), ("b", [0.0, 1.0])):
        moved = directions.move(w, {name: 1.0})
        c = whiten(moved, generator.statistics())
        after = torch.stack([c[:, 0] + 0.6 * c[:, 1], c[:, 1]], 1) * 12 + 30
        assert ((after - labels).mean(0) / found.deviations).tolist() == pytest.approx(change, abs=0.03)


def test_identity_weight_goes_around_the_identity(generator: Tiny) -> None:
    """Label = c0 + c3; the identity sees c0: a direction that spares it goes by c3."""
    w = sample_w(generator, 2000, 3)[1]
    c = whiten(w, generator.statistics())
    labels = (c[:, 0] + c[:, 3])[:, None]
    whitening = generator.statistics().p_whiten.double()

    def step(weight: float) -> list[float]:
        found = fit(w, labels, c[:, :1], generator.statistics(), weight)
        return (found.vectors.double() @ whitening)[0].abs().tolist()

    assert step(0.0)[0] == pytest.approx(step(0.0)[3], rel=0.05)
    assert step(10.0)[0] < 0.2 * step(10.0)[3]


def test_steps_in_p_stay_plausible(generator: Tiny) -> None:
    w, labels, identity = linear_world(generator)
    found = fit(w, labels, identity, generator.statistics(), 0.0)
    moved = Directions({"a": found.vectors[0]}, {}, "p").move(w, {"a": 2.0})
    before, after = (p_norm(x[:, None], generator.statistics()).mean().item() for x in (w, moved))
    assert after < before + 2.4**2 / 16 + 0.05  # the step's own length, over D, and no more
    assert torch.allclose(from_p(to_p(w)), w, atol=1e-5)
    assert torch.allclose(unwhiten(whiten(w, generator.statistics()), generator.statistics()), w, atol=1e-4)


def test_the_reader_follows_its_teacher_and_survives_its_file() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(400, 8, generator=random)
    labels = torch.stack([30 + 10 * torch.tanh(x[:, 0]), 3 * x[:, 1]], 1)
    noisy = labels + torch.randn(400, 2, generator=random)
    reader = fit_reader(x[:300], noisy[:300])
    read = reader.from_identity(x[300:])
    for k in range(2):
        assert np.corrcoef(read[:, k], labels[300:, k])[0, 1] > 0.7
    again = from_tensors(to_tensors(reader)).from_identity(x[300:])
    assert torch.allclose(again, read, atol=0.02)
    smooth = reader.smooth(torch.cat([noisy, x[:, 2:3]], 1)[300:], x[300:])
    assert torch.allclose(smooth[:, :2], (noisy[300:] + read) / 2)
    with pytest.raises(UserError, match="without the reader"):
        from_tensors({"mean": torch.zeros(8)})


def test_pca_and_sefa(generator: Tiny) -> None:
    axes, statistics = pca(generator, 4), generator.statistics()
    assert axes.shape == (4, 16)
    assert axes.norm(dim=1).tolist() == pytest.approx(statistics.w_std.flip(0)[:4].tolist(), rel=1e-4)
    w = sample_w(generator)[1] - statistics.mean
    assert (w @ (axes[0] / axes[0].norm())).std().item() == pytest.approx(statistics.w_std.max().item(), rel=0.05)
    found = sefa(generator, 16)
    assert torch.allclose(found @ found.T, torch.eye(16), atol=1e-4)

    origin = torch.zeros(1, 16)
    styles = generator.styles(torch.cat([origin, torch.eye(16), found])[:, None].repeat(1, 8, 1))
    slopes = styles[1:] - styles[:1]
    change = torch.zeros(16)
    for row in range(8):  # layers count alike, whatever their scale
        part = generator.style_rows == row
        change += slopes[16:, part].square().sum(1) / slopes[:16, part].square().sum()
    assert (change.diff() <= 1e-5).all()


def test_files_of_directions(generator: Tiny, tmp_path: Path) -> None:
    vector = torch.randn(16, generator=torch.Generator().manual_seed(0))
    own = tmp_path / "own.safetensors"
    save_directions(own, Directions({"age": vector}, {"age": 12.0}, "p"), generator, {"samples": 3})
    again = load_directions(str(own), generator)
    assert torch.equal(again["age"], vector)
    assert again.space == "p"
    assert again.deviations == {"age": 12.0}
    np.save(tmp_path / "smile.npy", vector[None].numpy())
    assert torch.equal(load_directions(str(tmp_path / "smile.npy"), generator)["smile"], vector)
    rows = torch.arange(10.0)[:, None].repeat(1, 16)  # two rows more than this generator has, as 18 are to 16
    torch.save(rows, tmp_path / "rows.pt")
    fitted = load_directions(str(tmp_path / "rows.pt"), generator)
    assert fitted["rows"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 9]
    moved = fitted.move(torch.zeros(8, 16), {"rows": 2.0})
    assert moved[:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 18]


def test_bad_files_of_directions(generator: Tiny, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "ran"),))  # type: ignore[return-value]

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    for name in ("evil.pt", "evil.npy"):
        with pytest.raises(UserError, match=r"it asks for|array of|object"):
            load_directions(str(tmp_path / name), generator)
    assert not (tmp_path / "ran").exists()
    np.save(tmp_path / "short.npy", np.zeros(7))
    with pytest.raises(UserError, match=r"its shape \[7\] does not fit tiny"):
        load_directions(str(tmp_path / "short.npy"), generator)
    with pytest.raises(UserError, match="cannot be read"):
        load_directions(str(tmp_path / "none.npy"), generator)


def test_choose_by_hand() -> None:
    """Areas 1 and 3 of four pixels, two styles: the first changes region 0 nine times as much by pixel."""
    masks = torch.zeros(6, 2, 2)
    masks[0, 0, 0], masks[5] = 1, 1 - torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    changes = torch.zeros(6, 2)
    changes[:, 0] = torch.tensor([9.0, 0, 0, 0, 0, 3.0])  # by pixel 9 against 1: 3 in root mean square
    changes[:, 1] = torch.tensor([1.0, 0, 0, 0, 0, 3.0])  # alike
    assert choose(changes, masks, 2.5)[0].tolist() == [1, 0]
    assert choose(changes, masks, 3.5)[0].tolist() == [0, 0]


def test_spearman_by_hand() -> None:
    assert spearman([1, 2, 3, 4]) == pytest.approx(1)
    assert spearman([4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([5, 5, 5]) == 0
    assert spearman([1, 2, 2, 3]) == pytest.approx(0.9486833)  # ties share their rank
