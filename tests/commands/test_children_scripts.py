"""Children as asked for on the real generator, directions and regions found, a partner: as a command line calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_inversion.editing import people as people_module
from gan_inversion.editing import scene as scene_module
from gan_inversion.editing.files import Directions, load_directions, load_regions, save_directions
from gan_inversion.editing.people import People, save_people
from gan_inversion.editing.search import draw_w, search
from gan_inversion.errors import UserError
from gan_inversion.faces.traits import Traits
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from gan_inversion.metrics.regions import check_regions
from gan_inversion.spaces.p_space import unwhiten_steps, whiten
from gan_inversion.spaces.population import sample_w
from tests.conftest import CHILD, Ran, real

Run = Callable[..., Ran]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A couple of sampled adults of the real generator, as a family's latents."""
    rows = draw_w(real(), 2, 12)[:, None].repeat(1, 16, 1)
    path = tmp_path / "couple.safetensors"
    save_latents(path, {"father": Latents(rows[0]), "mother": Latents(rows[1])}, real().sha256)
    return path


@pytest.mark.weights
def test_a_daughter_of_eight_who_grows_up(run: Run, stored: Path, tmp_path: Path) -> None:
    couple = ["blend", f"father={stored}", f"mother={stored}", "threads=1", "child.search=6"]
    run(*couple, "child.ages=[8,30]", "child.gender=female", "siblings_only=[1]", "output_dir=kids")
    document = json.loads((tmp_path / "kids/children.json").read_text())["children"]
    assert list(document) == ["child_01_age_08", "child_01_age_30"]
    for age, child in zip((8, 30), document.values(), strict=True):
        assert child["reached"]
        assert abs(child["read_by_what_steered"]["age"] - age) <= 3
        assert child["read_by_what_steered"]["male"] < 0.1
    first = load_file(tmp_path / "kids/latents.safetensors")
    assert "child_01_age_08.style_offset" in first  # regions are inherited by default
    run(*couple, "child.age=30", "child.gender=female", "siblings=2", "output_dir=all")
    second = load_file(tmp_path / "all/latents.safetensors")  # the same among her siblings, and at one age alone
    assert torch.equal(first["child_01_age_30"], second["child_01"])


@pytest.mark.weights
def test_the_committed_regions_move_the_nose() -> None:
    """The bar of the measure, on other couples than those that it was measured on."""
    generator = real()
    report, sheet = check_regions(generator, load_regions("regions_mobile_stylegan_ffhq", generator), 10, 4321)
    assert report["ratio"]["nose"] > 3
    assert report["ratio"]["eyes"] > 3
    assert report["ratio"]["mouth"] > 3
    assert sheet.shape == (4 * 192, 8 * 192, 3)


@pytest.mark.weights
@pytest.mark.parametrize("experiment", ["w_plus_mean", "babygan", "familygan"])
def test_known_recipes(run: Run, stored: Path, tmp_path: Path, experiment: str) -> None:
    run("blend", f"father={stored}", f"mother={stored}", f"experiment={experiment}", "threads=1", "output_dir=out")
    father, mother = (load_file(stored)[name] for name in ("father", "mother"))
    (child,) = (ws for name, ws in load_file(tmp_path / "out/latents.safetensors").items())
    expected = (father + mother) / 2
    if experiment == "babygan":
        share = torch.arange(16)[:, None] / 16
        expected = father + share * (mother - father)
    if experiment == "familygan":
        directions = load_directions("directions_mobile_stylegan_ffhq", real())
        expected = directions.move(expected, {"age": -2.5, "gender": -2.0})
    assert torch.allclose(child, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_without_labels(run: Run, tmp_path: Path, method: str, generator: Tiny) -> None:
    run("find_directions", f"method={method}", "count=3", "generator=tiny", "output_dir=out")
    found = load_directions(str(tmp_path / "out/directions.safetensors"), generator)
    assert list(found.vectors) == [f"{method}_0", f"{method}_1", f"{method}_2"]
    with Image.open(tmp_path / "out/strips.png") as picture:
        assert "Synthetic" in picture.info
    done = run("find_directions", "method=magic", "generator=tiny", "output_dir=no", code=1)
    assert "method=magic: choose labels, people, scene, stored, sefa or pca" in done.stderr


@pytest.mark.weights
def test_stored_directions_are_measured(run: Run, tmp_path: Path) -> None:
    """Each label at five steps, nobody changed at none of them; another file of directions does something else."""
    found = []
    for method in ("sefa", "pca"):
        run("find_directions", f"method={method}", "count=1", "generator=tiny", f"output_dir={method}")
        keys = [f"directions={method}/directions.safetensors", "held_out=1", "generator=tiny", "threads=1"]
        run("find_directions", "method=stored", *keys, f"output_dir={method}_measured")
        (one,) = json.loads((tmp_path / f"{method}_measured/metrics.json").read_text())["responses"].values()
        assert {len(values) for values in one.values()} == {5}
        assert one["identity_dlib"][2] == 0 < one["identity_dlib"][4]
        assert one["skin_ita"] == [None] * 5  # a picture of 64 pixels shows no skin
        found.append(one["age"])
    assert found[0] != found[1]
    assert (tmp_path / "pca_measured/strips.png").exists()


def test_a_direction_of_hair_beside_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: hair is the third whitened coordinate, in the rows that make it; what others change it leaves alone."""
    generator, ws = tiny(), sample_w(tiny(), 400, 7)[1]
    coordinates = whiten(ws, generator.statistics())
    readings = torch.full((400, 6), torch.nan)
    readings[:, 0], readings[:, 1] = 8 * coordinates[:, 1], 30 - 10 * (coordinates[:, 2] + coordinates[:, 0]).float()
    people = People(readings, torch.randn(400, 128, generator=torch.Generator().manual_seed(0)), 7)
    save_people(tmp_path / "people.safetensors", people, generator, {})
    others = readings.clone()
    others[:, 1] = 30 - 10 * coordinates[:, 3].float()
    save_people(tmp_path / "others.safetensors", replace(people, readings=others), generator, {})
    steps = unwhiten_steps(torch.eye(generator.w_dim)[0], generator.statistics()).float()
    save_directions(tmp_path / "d.safetensors", Directions({"age": steps}, {"age": 9.0}, "p"), generator, {})
    save_directions(tmp_path / "w.safetensors", Directions({"age": steps}, {}, "w"), generator, {})
    monkeypatch.setattr(people_module, "read_traits", lambda image: Traits(hair_l=50 * (1 - image.mean().item())))
    base = ["find_directions", "method=people", "generator=tiny", "threads=1", "held_out=2", "identity_weight=0"]
    base += ["directions=d.safetensors"]
    run(*base, "people=people.safetensors", "output_dir=out")
    found = load_directions(str(tmp_path / "out/directions.safetensors"), generator)
    assert torch.equal(found["age"], steps) and set(found.deviations) == {"age", "hair_darkness"}
    hair = found["hair_darkness"]
    moving = hair.abs().sum(1) > 0
    assert moving.tolist() == [3 <= row < 6 for row in range(8)]
    whitened = (hair[moving][0].double() @ generator.statistics().p_whiten.double()).abs()
    assert whitened.argmax() == 2 and whitened[[0, 1, 3]].max() < 0.2 * whitened[2]
    run(*base, "people=others.safetensors", "output_dir=other")
    assert not torch.equal(
        load_directions(str(tmp_path / "other/directions.safetensors"), generator)["hair_darkness"], hair
    )
    monkeypatch.setattr(people_module, "read_traits", lambda image: Traits())
    keys = (*base, "people=people.safetensors")
    assert "in none of these pictures hair could be read" in run(*keys, "output_dir=no", code=1).stderr
    assert "not straight in P" in run(*keys, "directions=w.safetensors", "output_dir=no", code=1).stderr


@pytest.mark.weights
def test_glasses_and_light_beside_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: light is the second whitened coordinate, shade the third; who is marked decides about glasses."""
    generator, ws = tiny(), sample_w(tiny(), 120, 7)[1]
    coordinates = whiten(ws, generator.statistics()).float()
    identity = torch.randn(120, 128, generator=torch.Generator().manual_seed(0))
    people = People(torch.full((120, 6), torch.nan), identity, 7)
    save_people(tmp_path / "people.safetensors", people, generator, {})
    steps = unwhiten_steps(torch.eye(generator.w_dim)[0], generator.statistics()).float()
    save_directions(tmp_path / "d.safetensors", Directions({"age": steps}, {"age": 9.0}, "p"), generator, {})
    save_directions(tmp_path / "w.safetensors", Directions({"age": steps}, {}, "w"), generator, {})
    for name, column in (("marks", 4), ("others", 5)):
        rows = [f"{number},{int(coordinates[number, column] > 0)}" for number in range(100)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["sample,glasses", *rows]))
    turn = iter(coordinates.tolist() * 10)

    def scene(image: torch.Tensor) -> dict[str, float]:
        one = next(turn)
        return {"yaw": one[6], "pitch": one[7], "smile": one[8], "eyes_open": one[9], "light": one[1], "shade": one[2]}

    monkeypatch.setattr(scene_module, "scene_of", scene)
    base = ["find_directions", "method=scene", "generator=tiny", "threads=1", "identity_weight=0", "samples=120"]
    base += ["people=people.safetensors", "directions=d.safetensors"]
    run(*base, "marks=marks.csv", "output_dir=out")
    found = load_directions(str(tmp_path / "out/directions.safetensors"), generator)
    assert torch.equal(found["age"], steps) and set(found.deviations) == {"age", "glasses", "light", "shade"}
    assert found.scene is not None and found.scene.weight.shape == (5, 128, 8, 8)
    for name, axis in (("light", 1), ("shade", 2)):
        assert (found[name].abs().sum(1) > 0).tolist() == [row >= 2 for row in range(8)]
        whitened = (found[name][-1].double() @ generator.statistics().p_whiten.double()).abs()
        assert whitened.argmax() == axis
    run(*base, "marks=others.csv", "output_dir=other")
    other = load_directions(str(tmp_path / "other/directions.safetensors"), generator)
    assert not torch.equal(other["glasses"], found["glasses"])
    told = run(*base, "marks=marks.csv", "samples=50", "output_dir=no", code=1).stderr
    assert "sample 99 is marked, and 50 are drawn" in told
    assert "not straight in P" in run(*base, "directions=w.safetensors", "output_dir=no", code=1).stderr


@pytest.mark.weights
def test_directions_from_labels_go_on_after_a_kill(run: Run, tmp_path: Path) -> None:
    """A search of 48 that finds 40 in its folder labels 8; each key moves something."""
    base = ["find_directions", "generator=tiny", "held_out=1", "judge=false", "threads=1"]
    run(*base, "samples=40", "output_dir=out")
    before = load_file(tmp_path / "out/labels.safetensors")["labels"]
    run(*base, "samples=48", "output_dir=out", "overwrite=true")
    labels = load_file(tmp_path / "out/labels.safetensors")["labels"]
    assert len(labels) == 48
    assert torch.equal(labels[:40], before)
    whole = load_directions(str(tmp_path / "out/directions.safetensors"), tiny())
    document = json.loads((tmp_path / "out/metrics.json").read_text())
    assert set(document["held_out"]["side_effects"]["age"]) == set(whole.vectors)
    assert "faceres" not in document["held_out"]["age"]
    assert "holds another job" in run(*base, "samples=48", "identity_weight=5", "output_dir=out", code=1).stderr
    run(*base, "samples=48", "identity_weight=5", "output_dir=out", "overwrite=true")
    other = load_directions(str(tmp_path / "out/directions.safetensors"), tiny())
    assert not torch.equal(other["age"], whole["age"])
    with pytest.raises(UserError, match="holds the samples of another search"):
        search(tiny(), 48, 1, tmp_path / "out/labels.safetensors")
    run(*base, "samples=40", "seed=1", "output_dir=out", "overwrite=true")
    assert not torch.equal(load_file(tmp_path / "out/labels.safetensors")["labels"], before)


@pytest.mark.weights
def test_regions_are_found(run: Run, tmp_path: Path, generator: Tiny) -> None:
    base = ["find_regions", "generator=tiny", "samples=2", "faces=2", "couples=1", "threads=1"]
    run(*base, "output_dir=out")
    regions = load_regions(str(tmp_path / "out/regions.safetensors"), generator)
    assert regions.masks.shape == (6, 64, 64)
    assert regions.masks.sum(0).numpy() == pytest.approx(1, abs=0.01)
    chosen = {key: [] for key in ("contrast=1.05", "contrast=1.5", "seed=3", "samples=3", "faces=3")}
    for change in chosen:
        run(*base, change, f"output_dir={change}")
        found = load_regions(str(tmp_path / change / "regions.safetensors"), generator)
        chosen[change] = np.concatenate(
            [c.numpy() for c in found.choice.values()] + [found.masks.numpy().ravel()]
        ).tolist()
    assert len({tuple(value) for value in chosen.values()}) == 5
    assert json.loads((tmp_path / "out/metrics.json").read_text())["couples"] == 1


def test_partner(run: Run, tmp_path: Path, generator: Tiny) -> None:
    w = generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    save_latents(
        tmp_path / "in.safetensors",
        {n: Latents(x.repeat(8, 1)) for n, x in zip("ab", w, strict=True)},
        generator.sha256,
    )
    base = ["partner", "of_child=in.safetensors:a", "generator=tiny", "threads=1", *CHILD[2:]]
    run(*base, "parent=in.safetensors:b", "samples=3", "output_dir=out/three")
    run(*base, "parent=in.safetensors:b", "samples=2", "output_dir=out/two")
    three, two = (load_file(tmp_path / f"out/{n}/latents.safetensors") for n in ("three", "two"))
    assert sorted(three) == ["partner_00", "partner_01", "partner_02"]
    assert torch.equal(two["partner_01"], three["partner_01"])
    for change in ("seed=1", "diversity=0.2"):
        run(*base, "parent=in.safetensors:b", change, f"output_dir=out/{change}")
        other = load_file(tmp_path / "out" / change / "latents.safetensors")
        assert not torch.equal(other["partner_01"], three["partner_01"])
    with Image.open(tmp_path / "out/three/partners.png") as picture:
        assert "Synthetic" in picture.info
    assert "no latents called c; it has a, b" in run(*base, "parent=in.safetensors:c", code=1).stderr
