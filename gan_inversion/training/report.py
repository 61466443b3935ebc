"""What a training shows while it runs, and leaves when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..assets.trained import save_trained
from ..interfaces import Generator
from ..report.plots import png_of
from ..report.progress import Showing
from ..report.run_folder import RunFolder
from ..report.trace import plot_losses
from ..storage import expanded
from .samples import HELD_OUT, Samples
from .trainer import CHECKPOINT, Curve, LossOf, train

SMOOTH = 200  # points of the plotted curve


@dataclass(frozen=True)
class Training:
    """What is asked of a training."""

    settings: Mapping[str, Any]  # all that decides its result besides the generator: samples, steps, seed and others
    held_out: int  # samples to measure on
    checkpoint_every: int  # updates


def facts_of(training: Training, generator: Generator) -> dict[str, Any]:
    """What decides a training's result: its settings, and the generator by hash."""
    return {
        **training.settings,
        "threads": torch.get_num_threads(),
        "generator": generator.sha256,
        "previews": generator.previews_sha256,
    }


def fit(
    kind: str,
    model: nn.Module,
    loss: LossOf,
    measure: Callable[..., dict[str, float]],
    generator: Generator,
    training: Training,
    folder: RunFolder,
) -> None:
    """Train `model`, measure it on samples never trained on, save it as `KIND.safetensors`, and report.

    `measure`: (generator, model, indices, seed, progress) -> numbers.
    """
    facts, told = facts_of(training, generator), training.settings
    folder.path(CHECKPOINT)
    with Showing("training", told["steps"]) as bar:
        curve = train(
            model, loss, told["steps"], told["learning_rate"], told["seed"], folder.root, facts,
            training.checkpoint_every, bar.step,
        )  # fmt: skip
    held_out = range(HELD_OUT, HELD_OUT + training.held_out)
    with Showing("measuring", len(held_out)) as bar:
        numbers = measure(generator, model, held_out, told["seed"], bar.update)
    path = folder.path(f"{kind.replace(' ', '_')}.safetensors")
    save_trained(path, kind, model, generator, {"settings": facts, "held_out": numbers})
    report(folder, curve, numbers)


def rendered(training: Training, samples_dir: str, generator: Generator) -> Samples:
    """The samples to train on, with a bar while they are rendered."""
    samples = Samples(expanded(samples_dir), training.settings["samples"], training.settings["seed"])
    with Showing("rendering", samples.count) as bar:
        samples.render(generator, bar.reach)
    return samples


def report(folder: RunFolder, curve: Curve, numbers: Mapping[str, float]) -> None:
    """`curve.png`, each loss relative to its first value; `metrics.json`, held-out numbers and the whole curve."""
    size = -(-len(curve) // SMOOTH)
    means = {
        name: np.array([np.mean([row[name] for row in curve[i : i + size]]) for i in range(0, len(curve), size)])
        for name in curve[0]
    }
    folder.write("curve.png", png_of(plot_losses(means, size)))
    document = {"held_out": dict(numbers), "steps": len(curve), "curve": curve}
    folder.finish("metrics.json", document)
    print(json.dumps(dict(numbers), indent=2))
    print(f"trained: {folder.root}")
