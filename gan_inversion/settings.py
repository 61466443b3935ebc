"""What the scripts can be told: one schema each, checked as a whole."""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf

from .errors import UserError, suggestion

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@dataclass
class Common:
    """Keys of every script that makes pictures. Groups are checked by `build`, against their constructors."""

    output_dir: str = MISSING
    overwrite: bool = False
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    generator: dict[str, Any] = MISSING


@dataclass
class Inverting(Common):
    aligner: dict[str, Any] = MISSING
    space: dict[str, Any] = MISSING
    start: dict[str, Any] = MISSING
    losses: dict[str, dict[str, Any]] = field(default_factory=dict)
    inversion: dict[str, Any] = MISSING
    runner: dict[str, Any] = MISSING
    store: dict[str, Any] = MISSING
    metrics: list[str] = MISSING
    trace: int = 0


@dataclass
class Family(Inverting):
    father: str = MISSING
    mother: str = MISSING
    father_face: int | None = None
    mother_face: int | None = None
    blend: dict[str, Any] = MISSING
    inherit: dict[str, Any] = MISSING
    child: dict[str, Any] = MISSING
    siblings: int = 1
    siblings_only: list[int] | None = None
    diversity: float = 1.0


@dataclass
class Batch(Common):
    manifest: str = MISSING
    retry_failed: bool = False
    verify: bool = False
    aligner: dict[str, Any] = MISSING
    space: dict[str, Any] = MISSING
    start: dict[str, Any] = MISSING
    losses: dict[str, dict[str, Any]] = field(default_factory=dict)
    inversion: dict[str, Any] = MISSING
    runner: dict[str, Any] = MISSING
    store: dict[str, Any] = MISSING
    metrics: list[str] = MISSING
    blend: dict[str, Any] = MISSING
    inherit: dict[str, Any] = MISSING
    child: dict[str, Any] = MISSING
    siblings: int = 1
    diversity: float = 1.0


@dataclass
class TendStore:
    do: str = "list"
    forget: str | None = None
    keep_days: float | None = None
    store: dict[str, Any] = MISSING


@dataclass
class EvaluateChildren(Inverting):
    data: str | None = None
    layout: str = "photos"
    couples: int = 1
    blend: dict[str, Any] = MISSING
    inherit: dict[str, Any] = MISSING
    child: dict[str, Any] = MISSING
    diversity: float = 1.0


@dataclass
class Invert(Inverting):
    photos: list[str] = MISSING
    face: int | None = None


@dataclass
class BlendStored(Common):
    father: str = MISSING
    mother: str = MISSING
    blend: dict[str, Any] = MISSING
    inherit: dict[str, Any] = MISSING
    child: dict[str, Any] = MISSING
    siblings: int = 1
    siblings_only: list[int] | None = None
    diversity: float = 1.0


@dataclass
class Atlas(Common):
    latents: list[str] = MISSING
    samples: int = 1
    method: str = MISSING
    dimensions: int = MISSING
    thumbnail: int = MISSING
    neighbours: int = MISSING
    identity: bool = MISSING


@dataclass
class Interpolate:
    """Like `Common`, but nothing here is drawn at random: no seed."""

    output_dir: str = MISSING
    overwrite: bool = False
    device: str = "cpu"
    threads: int | None = None
    generator: dict[str, Any] = MISSING
    latents: list[str] = MISSING
    path: str = MISSING
    frames: int = MISSING
    fps: int = MISSING
    size: int = MISSING
    easing: str = MISSING
    loop: bool = MISSING
    equal_speed: bool = MISSING
    probes: int = MISSING


@dataclass
class Fetch:
    only: typing.List[str] = field(default_factory=list)  # noqa: UP006 (the next line hides `list`)
    list: bool = False


@dataclass
class ConvertWeights:
    input: str = MISSING
    output: str | None = None
    overwrite: bool = False


@dataclass
class DemoPhotos:
    output_dir: str = MISSING
    seed: int = 3
    generator: dict[str, Any] = MISSING


@dataclass
class Training:
    """Keys of both trainings."""

    output_dir: str = MISSING
    samples_dir: str = MISSING
    samples: int = 1
    held_out: int = 64
    steps: int = 1
    batch: int = 1
    learning_rate: float = MISSING
    checkpoint_every: int = 200
    seed: int = 0
    threads: int | None = None
    generator: dict[str, Any] = MISSING


@dataclass
class TrainPreviewHeads(Training):
    resolutions: list[int] = MISSING
    lpips_weight: float = MISSING


@dataclass
class TrainEncoder(Training):
    drawn: int = MISSING
    image_weight: float = MISSING


@dataclass
class Benchmark:
    output_dir: str = MISSING
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    generator: dict[str, Any] = MISSING
    photos: list[str] = MISSING
    aligner: dict[str, Any] = MISSING
    recipes: dict[str, list[str]] = MISSING
    metrics: list[str] = MISSING
    points: int = 8


@dataclass
class Partner(Common):
    of_child: str = MISSING
    parent: str = MISSING
    child: dict[str, Any] = MISSING
    samples: int = 1
    diversity: float = 1.0


@dataclass
class Searching:
    """Keys of both searches in a generator."""

    output_dir: str = MISSING
    samples: int = 1
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    generator: dict[str, Any] = MISSING


@dataclass
class FindDirections(Searching):
    method: str = "labels"
    count: int = 1
    held_out: int = 1
    identity_weight: float = MISSING
    judge: bool = True


@dataclass
class FindRegions(Searching):
    faces: int = 1
    couples: int = 1
    contrast: float = MISSING


@dataclass
class EvaluateAlignment:
    faces: int = 60
    seed: int = 1
    landmarks: list[str] = MISSING
    output: str = MISSING
    generator: dict[str, Any] = MISSING


SCHEMAS = {
    "family": Family,
    "invert": Invert,
    "batch": Batch,
    "store": TendStore,
    "blend": BlendStored,
    "atlas": Atlas,
    "interpolate": Interpolate,
    "fetch_weights": Fetch,
    "convert_weights": ConvertWeights,
    "demo_photos": DemoPhotos,
    "evaluate_alignment": EvaluateAlignment,
    "encode": Invert,
    "benchmark": Benchmark,
    "evaluate_children": EvaluateChildren,
    "partner": Partner,
    "find_directions": FindDirections,
    "find_regions": FindRegions,
    "train_preview_heads": TrainPreviewHeads,
    "train_encoder": TrainEncoder,
}


LEAST = {
    "seed": 0,
    "trace": 0,
    "siblings": 1,
    "diversity": 0,
    "drawn": 0,
    "points": 0,
    "neighbours": 0,
    "frames": 2,
    "fps": 1,
    "size": 32,
    "probes": 2,
    "thumbnail": 16,
} | dict.fromkeys(
    ("threads", "faces", "samples", "held_out", "steps", "batch", "checkpoint_every", "couples", "count"), 1
)


def checked(config: DictConfig, name: str) -> None:
    """Apply the process settings. Raises UserError for keys that the schema lacks (+key=...) and for values not given."""
    known = [f.name for f in dataclasses.fields(SCHEMAS[name])]
    for key in map(str, config):
        if key not in known:
            raise UserError(f"unknown key {key}.{suggestion(key, known)}")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} must be given: {missing[0]}=... (--help explains each key)")
    for key, least in LEAST.items():
        if config.get(key) is not None and config[key] < least:
            raise UserError(f"{key}={config[key]}: must be at least {least}.")
    logging.captureWarnings(True)
    from .runtime import check_device, configure  # here: --help need not wait for torch

    if "threads" in config:
        configure(config.threads)
    if "device" in config:
        check_device(config.device)


def plain(config: DictConfig) -> dict[str, Any]:
    """The composed config as plain dicts and lists."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def recipe(overrides: Sequence[str]) -> dict[str, Any]:
    """The config of `scripts/invert.py` with `overrides`, from within another script."""
    store = ConfigStore.instance()
    running = store.load("schema.yaml").node
    store.store(name="schema", node=Invert)
    try:
        for override in overrides:
            if override.split("=")[0].split(".")[0] in ("generator", "device", "aligner", "metrics", "seed"):
                raise UserError(f"recipes: {override} is the same for all recipes; set it outside of them.")
        return plain(hydra.compose("invert", ["photos=[]", *overrides]))
    except HydraException as error:
        raise UserError(f"recipes: {list(overrides)}: {str(error).splitlines()[0]}") from error
    finally:
        store.store(name="schema", node=running)


def hydra_files(config: DictConfig) -> dict[str, str]:
    """What Hydra would leave in `.hydra/`, for a run folder that is checked before it is written."""
    overrides = OmegaConf.to_yaml(HydraConfig.get().overrides.task)
    return {".hydra/config.yaml": OmegaConf.to_yaml(config), ".hydra/overrides.yaml": overrides}
