"""Every option of every group and every experiment composes, builds and runs; every key is explained and moves something."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gan_inversion.assets.trained import save_trained
from gan_inversion.checkpoints.foreign import save_checkpoint
from gan_inversion.cli import CONFIGS, help_text, overview, quoted, shortened
from gan_inversion.commands import PLACES
from gan_inversion.components import build
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import tiny
from gan_inversion.interfaces import Latents
from gan_inversion.inversion.encoder import ENCODER, new_encoder
from gan_inversion.inversion.inverter import default_inverter
from gan_inversion.latents import save_latents
from tests.composed import build_inverter, command_of, compose, tiny_config
from tests.conftest import CHILD, TINY, Ran, drawn
from tests.families import tiny_checkpoint

GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONFIGS.glob("*/*.yaml"))]
NEEDS_WEIGHTS = {("generator", "mobile_stylegan"), ("aligner", "ffhq"), ("losses", "lpips"), ("start", "best_of"),
                 ("start", "encoder"), ("losses", "identity"), ("inherit", "regions"), ("child", "steered"),
                 ("refine", "features"), ("refine", "styles"), ("refine", "noise")}  # fmt: skip
NEEDED = {
    ("blend", "per_layer"): ["blend.layer_weights=[0,0,0,0.5,0.5,1,1,1]"],
    ("losses", "noise"): ["inversion.noise_maps=true"],
    ("mark", "c2pa"): ["mark.certificate=chain.pem", "mark.key=key.pem"],
    ("refine", "features"): ["refine.side=16", "refine.previews=1", "refine.whole=1"],
    ("refine", "styles"): ["refine.previews=1", "refine.whole=1"],
    ("refine", "noise"): ["refine.previews=1", "refine.whole=1"],
    ("refine", "weights"): ["refine.previews=1", "refine.whole=1", "refine.locality=0"],
    ("experiment", "pti"): ["refine.whole=2"],
    ("experiment", "sfe"): ["refine.side=16", "refine.previews=1", "refine.whole=1"],
}


def invert(values: dict[str, Any]) -> torch.Tensor:
    inverter = build_inverter(values)
    return inverter([drawn(inverter.generator, 1, "father")], [values["seed"]])[0].ws


def encoder_of_tiny(folder: Path) -> Path:
    save_trained(folder / "encoder.safetensors", ENCODER, new_encoder(tiny(), 0), tiny(), {})
    return folder / "encoder.safetensors"


@pytest.mark.parametrize(
    ("group", "option"),
    [
        pytest.param(g, o, marks=[pytest.mark.weights] if (g, o) in NEEDS_WEIGHTS else [])
        for g, o in OPTIONS
        if g != "experiment"
    ],
)
def test_every_option_composes_builds_and_runs(group: str, option: str, tmp_path: Path) -> None:
    choice = f"{group}=[{option}]" if group == "losses" else f"{group}={option}"
    extra = NEEDED.get((group, option), [])
    if (group, option) == ("start", "inversion"):
        save_latents(tmp_path / "a.safetensors", {"ws": Latents(torch.zeros(8, 16))}, tiny().sha256)
        extra = [f"start.path={tmp_path / 'a.safetensors'}"]
    if (group, option) == ("start", "encoder"):
        extra = [f"start.path={encoder_of_tiny(tmp_path)}"]
    if (group, option) == ("generator", "mobile_stylegan"):
        assert build(compose()["generator"], "generator").load("cpu").resolution == 1024
        return
    if (group, option) == ("generator", "file"):
        save_checkpoint(tmp_path / "net.safetensors", tiny_checkpoint("stylegan2"))
        extra = [f"generator.path={tmp_path / 'net.safetensors'}"]
    base = [line for line in TINY if not (line.startswith(group) or (group == "losses" and line.startswith("losses")))]
    values = compose(*base, choice, *extra) if group != "start" else tiny_config(choice, *extra)
    command = command_of(values)
    assert command.task()
    chosen = command.losses[option] if group == "losses" else getattr(command, group)
    assert chosen.name == option, "keys of results hold the names of options"
    ws = invert(values)
    assert ws.shape == (8, 16)
    recipe = build(values["blend"], "blend")
    assert recipe(ws, ws, build_inverter(values).generator).shape == ws.shape


@pytest.mark.weights
@pytest.mark.parametrize("experiment", [option for group, option in OPTIONS if group == "experiment"])
def test_every_experiment_runs(experiment: str, tmp_path: Path) -> None:
    own = "override /start" in (CONFIGS / f"experiment/{experiment}.yaml").read_text()
    start = [] if own else [f"start.path={encoder_of_tiny(tmp_path)}"]
    needed = NEEDED.get(("experiment", experiment), [])
    values = compose("generator=tiny", "threads=1", f"experiment={experiment}", "inversion.steps=2", *start, *needed)
    assert invert(values).shape == (8, 16)


def test_the_plain_recipe_is_frozen() -> None:
    """The yardstick, to the letter, whatever becomes of the default."""
    values = compose("experiment=plain")
    parts = {key: values[key] for key in ("generator", "space", "start", "losses", "inversion")}
    assert parts == yaml.safe_load((Path(__file__).parent / "golden" / "plain.yaml").read_text())


CHANGES = {  # key -> another value; each must change the latents that come out
    "seed": "seed=1",
    "space.reach": "space.reach=0.01",
    "space.whitening": "space.whitening=0",
    "losses.pixel.weight": "losses.pixel.weight=0.1",
    "losses.pixel.kind": "losses.pixel.kind=l1",
    "losses.pixel.sizes": "losses.pixel.sizes=[8]",
    "losses.delta_norm.weight": "losses.delta_norm.weight=0.5",
    "losses.delta_norm.late": "losses.delta_norm.late=90",
    "inversion.steps": "inversion.steps=4",
    "inversion.previews": "inversion.previews=[16]",
    "inversion.previews_until": "inversion.previews_until=[0.9]",
    "inversion.learning_rate": "inversion.learning_rate=0.3",
    "inversion.betas": "inversion.betas=[0.1,0.5]",
    "inversion.warmup": "inversion.warmup=2",
    "inversion.hold": "inversion.hold=0.9",
    "inversion.noise_maps": "inversion.noise_maps=true",
    "inversion.latent_noise": "inversion.latent_noise=0.9",
    "inversion.latent_noise_until": "inversion.latent_noise_until=0.3",
    "inversion.patience": "inversion.patience=1",
    "inversion.target": "inversion.target=100",
    "generator.seed": "generator.seed=3",
    "start=best_of": "start=best_of",
    "losses=ms_ssim": "losses=[pixel,delta_norm,ms_ssim]",
    "losses=p_norm": "losses=[pixel,delta_norm,p_norm]",
}
BASE = ["inversion.steps=6", "inversion.keep=last", "inversion.latent_noise=0.1", "inversion.min_improvement=0.9",
        "inversion.betas=[0.9,0.99]", "inversion.learning_rate=0.05", "inversion.warmup=1", "inversion.hold=0.3",
        "losses.pixel.sizes=[64]", "losses.pixel.kind=l2", "start=mean", "inversion.patience=0",
        "inversion.previews=[32]", "inversion.previews_until=[0.5]"]  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_each_key_moves_the_result(key: str) -> None:
    base = [*BASE, "space=w_plus"] if key == "space.whitening" else BASE
    before = invert(tiny_config(*base))
    change = [CHANGES[key]] + (["start.near=pixel"] if key == "start=best_of" else [])
    after = invert(tiny_config(*base, *change))
    assert before.shape != after.shape or not torch.equal(before, after)


def test_keep_counts() -> None:
    rough = [*BASE, "inversion.learning_rate=2", "inversion.hold=1"]  # jumps about: its last step is not its best
    assert not torch.equal(invert(tiny_config(*rough)), invert(tiny_config(*rough, "inversion.keep=best")))


def test_min_improvement_counts() -> None:
    base = [*BASE, "inversion.patience=2", "inversion.steps=8"]
    assert not torch.equal(invert(tiny_config(*base)), invert(tiny_config(*base, "inversion.min_improvement=0")))


@pytest.mark.parametrize("change", ["start.samples=1", "start.psi=0.3"])
def test_best_of_keys(change: str) -> None:
    base = [*BASE, "start=best_of", "start.near=pixel", "inversion.steps=1"]
    assert not torch.equal(invert(tiny_config(*base)), invert(tiny_config(*base, change)))


@pytest.mark.parametrize(
    "change", ["generator.seed=3", "generator.resolution=32", "generator.w_dim=8", "generator.channels=8"]
)
def test_tiny_keys(change: str) -> None:
    sizes = [build(tiny_config(*c)["generator"], "generator").load("cpu").sha256 for c in ([], [change])]
    assert sizes[0] != sizes[1]


def test_the_weight_of_noise_counts() -> None:
    base = [*BASE, "losses=[pixel,delta_norm,noise]", "inversion.noise_maps=true"]
    assert not torch.equal(invert(tiny_config(*base)), invert(tiny_config(*base, "losses.noise.weight=10")))


def test_ms_ssim_and_p_norm_weights() -> None:
    for loss in ("ms_ssim", "p_norm"):
        base = [*BASE, f"losses=[pixel,delta_norm,{loss}]"]
        assert not torch.equal(invert(tiny_config(*base)), invert(tiny_config(*base, f"losses.{loss}.weight=0.9")))
    base = [*BASE, "losses=[pixel,delta_norm,ms_ssim]"]
    assert not torch.equal(invert(tiny_config(*base)), invert(tiny_config(*base, "losses.ms_ssim.size=32")))


@pytest.mark.weights
@pytest.mark.parametrize("change", ["backbone=vgg", "sizes=[32,64]", "size_weights=[0.2,0.2]", "weight=0.1"])
def test_lpips_keys(change: str) -> None:
    base = [line for line in TINY + BASE if not line.startswith("losses")]
    base += ["losses=[lpips]", "inversion.steps=2", "losses.lpips.sizes=[64,48]", "losses.lpips.size_weights=[1,1]"]
    assert not torch.equal(invert(compose(*base)), invert(compose(*base, f"losses.lpips.{change}")))


@pytest.mark.weights
@pytest.mark.parametrize("change", ["weight=9", "inner=0", "flip=false"])
def test_identity_keys(change: str) -> None:
    base = [line for line in TINY + BASE if not line.startswith("losses")] + ["losses=[pixel,identity]"]
    assert not torch.equal(invert(compose(*base)), invert(compose(*base, f"losses.identity.{change}")))


@pytest.mark.weights
def test_preview_heads_may_be_left_out() -> None:
    hashes = [
        build(compose(*more)["generator"], "generator").load("cpu").previews_sha256
        for more in ([], ["generator.preview_heads=null"])
    ]
    assert hashes[0] != hashes[1]


def test_a_weight_for_a_loss_that_is_not_used_is_an_error(run: Callable[..., Ran]) -> None:
    """Law 10."""
    done = run("family", "father=a", "mother=b", *TINY, "losses.lpips.weight=2", code=2)
    assert "unknown key losses.lpips" in done.stderr


@pytest.mark.parametrize(
    ("argument", "code", "message"),
    [
        ("fathr=x", 2, "unknown key fathr. Did you mean father?"),
        ("inversion.stps=3", 2, "unknown key inversion.stps. Did you mean inversion.steps?"),
        ("+inversion.stps=3", 1, "unknown key inversion.stps. Did you mean steps?"),
        ("+foo=1", 1, "unknown key foo."),
        ("space=wplus", 2, "space=wplus: no such option. Did you mean w_plus?"),
        ("experiment=plane", 2, "experiment=plane: no such option. Did you mean plain?"),
        ("seed=abc", 1, "seed='abc': expected int"),
        ("inversion.steps=abc", 1, "inversion.steps='abc': expected int"),
        ("metrics=[fid]", 1, "metrics: unknown fid"),
        ("father=nobody.jpg", 1, "nobody.jpg: cannot be read"),
    ],
)
def test_mistakes_on_the_command_line(run: Callable[..., Ran], argument: str, code: int, message: str) -> None:
    arguments = [] if argument.startswith("father=") else ["father=a.jpg"]
    done = run("family", *arguments, "mother=b.jpg", *TINY, *CHILD, argument, code=code)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_must_be_given_is_named(run: Callable[..., Ran]) -> None:
    assert "father must be given: father=..." in run("family", *TINY, code=1).stderr


@pytest.mark.parametrize("script", PLACES)
def test_help_explains_every_key(script: str) -> None:
    """Each key of the script, and of each option it can choose, stands in --help with a comment."""
    text = help_text(script)
    body = yaml.safe_load((CONFIGS / f"{script}.yaml").read_text())
    for group in {next(iter(e)) for e in body["defaults"] if isinstance(e, dict)} & set(GROUPS):
        for path in (CONFIGS / group).glob("*.yaml"):
            lines = path.read_text().splitlines()
            assert any(line.startswith("# ") and not line.startswith("# @") for line in lines), f"{path} says nothing"
            if group == "experiment":
                continue  # only those for this command: commands/test_experiments.py
            assert f"{group}={path.stem}" in text
            for key in set(yaml.safe_load("\n".join(lines))) - {"_target_"}:
                assert "#" in next(line for line in lines if line.startswith(f"{key}:")), f"{path}: {key}"
    for key in set(body) - {"defaults", "hydra"}:
        line = next(line for line in text.splitlines() if line.startswith(f"{key}:"))
        assert "#" in line, f"{key} is not explained"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("losses.pixel.sizes=[]", "at least one size"),
        ("losses=[]", "at least one loss is needed"),
        ("device=cuda:7", "device=cuda:7 cannot be used here"),
        ("threads=0", "threads=0: must be at least 1"),
        ("seed=-1", "seed=-1: must be at least 0"),
        ("inversion.betas=[1,1]", "from 0 to below 1"),
        ("generator.resolution=48", "generator: resolution must be a power of two"),
        ("siblings_only=[]", "numbers from 0 are needed"),
        ("blend.path=zigzag", "choose one of lerp, slerp, p_lerp"),
        ("metrics=mse", "metrics:"),
    ],
)
def test_bad_values_are_named_before_any_work(
    run: Callable[..., Ran], couple: tuple[Path, Path], change: str, message: str
) -> None:
    done = run(
        "family",
        f"father={couple[0]}",
        f"mother={couple[1]}",
        *TINY,
        *CHILD,
        change,
        code=1,
    )
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_where_ray_s_workers_have_the_device_and_the_command_has_not(run: Callable[..., Ran]) -> None:
    """`device=cpu` is no advice to who has a cluster of GPUs."""
    pytest.importorskip("ray")
    done = run("family", "father=a", "mother=b", *TINY, *CHILD, "runner=ray", "device=cuda:7", code=1)
    assert "device=cuda:7 cannot be used here" in done.stderr
    assert "not only Ray's workers: start it on a machine that has it" in done.stderr


@pytest.mark.parametrize(
    "name", ["dad (1).png", "Mémé.png", "O'Brien.png", "a&b, c.png", "a=b.png", "[x].png", "back\\slash.png"]
)
def test_file_names_as_people_write_them(run: Callable[..., Ran], couple: tuple[Path, Path], name: str) -> None:
    path = couple[0].rename(couple[0].with_name(name))
    run("family", f"father={path}", f"mother={couple[1]}", *TINY, *CHILD, "inversion.steps=0", "output_dir=out")


def test_numbers_by_name_are_added_to_those_that_are_there() -> None:
    """Hydra itself knows no key of an empty table."""
    typed = quoted("child.steps={age: -1.5}")
    assert typed == "+child.steps={age: -1.5}"
    assert command_of(compose("experiment=babygan", typed)).child.steps == {"age": -1.5}
    assert command_of(compose("experiment=familygan", typed)).child.steps == {"age": -1.5, "gender": -2.0}
    with pytest.raises(UserError, match=r"unknown key inversion\.stps\. Did you mean steps"):
        command_of(compose(quoted("inversion={stps: 3}")))


def test_the_overview_fits_a_terminal() -> None:
    """And still says of each command what it is."""
    lines = overview().splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(PLACES)
    assert max(map(len, lines)) <= 100
    assert shortened("Faces, found: there; here", 30) == "Faces, found: there; here"
    assert shortened("Faces, found: there; here", 20) == "Faces, found: there."
    assert shortened("Faces, found: there; here", 15) == "Faces, found."
    assert shortened("Facesfoundthere", 10) == "Facesfo..."


def test_quotes_only_where_needed() -> None:
    for plain in ("father=a.jpg", "output_dir=out_${hydra:job.num}", "seed=1,2", "-m", "inversion.betas=[0.5,0.9]"):
        assert quoted(plain) == plain
    assert quoted("photos=[a (1).jpg,b.jpg]") == "photos=['a (1).jpg','b.jpg']"


def test_the_notebook_s_recipe_is_the_default_config() -> None:
    """`gan_inversion.invert` and `scripts/family.py` do the same thing."""
    values = compose()
    values["generator"] = tiny_config()["generator"]
    ours = build_inverter(values)
    theirs = default_inverter(ours.generator)
    assert theirs.settings(0) == ours.settings(0)


@pytest.mark.weights
def test_the_order_of_losses_changes_no_bit() -> None:
    """Sums round: they are taken in one order, whoever lists the losses."""
    values = tiny_config("losses=[pixel,delta_norm,p_norm,lpips]", "inversion.steps=3")
    inverter = build_inverter(values)
    other = dataclasses.replace(inverter, losses=dict(reversed(inverter.losses.items())))
    face = drawn(inverter.generator, 1)
    assert torch.equal(inverter([face], [0])[0].ws, other([face], [0])[0].ws)


def test_unknown_metrics_fail_before_any_work() -> None:
    with pytest.raises(UserError, match="unknown fid"):
        command_of(tiny_config("metrics=[fid]")).task()
