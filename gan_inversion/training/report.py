"""What a training shows while it runs, and leaves when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from ..assets.trained import save_trained
from ..interfaces import Generator
from ..report.progress import Showing
from ..report.trace import plot_losses
from ..storage import expanded, write_atomically
from .samples import Samples
from .trainer import Curve, LossOf, train

SMOOTH = 200  # points of the plotted curve


def facts_of(values: Mapping[str, Any], generator: Generator) -> dict[str, Any]:
    """What decides a training's result: its settings without places, and the generator by hash."""
    places = ("output_dir", "samples_dir", "generator", "checkpoint_every", "held_out")
    settings = {key: value for key, value in values.items() if key not in places}
    return {
        **settings,
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
    values: Mapping[str, Any],
    held_out: range,
) -> None:
    """Train `model`, measure it on samples never trained on, save it as `KIND.safetensors`, and report.

    `values`: the script's config. `measure`: (generator, model, indices, seed, progress) -> numbers.
    """
    folder, facts = expanded(values["output_dir"]), facts_of(values, generator)
    with Showing("training", values["steps"]) as bar:
        curve = train(
            model, loss, values["steps"], values["learning_rate"], values["seed"], folder, facts,
            values["checkpoint_every"], bar.step,
        )  # fmt: skip
    with Showing("measuring", len(held_out)) as bar:
        numbers = measure(generator, model, held_out, values["seed"], bar.update)
    name = kind.replace(" ", "_")
    save_trained(folder / f"{name}.safetensors", kind, model, generator, {"settings": facts, "held_out": numbers})
    report(folder, curve, numbers)


def rendered(values: Mapping[str, Any], generator: Generator) -> Samples:
    """The samples that the script's config asks for, with a bar while they are rendered."""
    samples = Samples(expanded(values["samples_dir"]), values["samples"], values["seed"])
    with Showing("rendering", samples.count) as bar:
        samples.render(generator, bar.reach)
    return samples


def report(folder: Path, curve: Curve, numbers: Mapping[str, float]) -> None:
    """`curve.png`, each loss relative to its first value; `metrics.json`, held-out numbers and the whole curve."""
    size = -(-len(curve) // SMOOTH)
    means = {
        name: np.array([np.mean([row[name] for row in curve[i : i + size]]) for i in range(0, len(curve), size)])
        for name in curve[0]
    }
    png = cv2.imencode(".png", plot_losses(means, unit=f"{size} steps")[:, :, ::-1])[1]
    write_atomically(folder / "curve.png", png.tobytes())
    document = {"held_out": dict(numbers), "steps": len(curve), "curve": curve}
    write_atomically(folder / "metrics.json", (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(dict(numbers), indent=2))
    print(f"trained: {folder}")
