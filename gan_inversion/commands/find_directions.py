"""A generator -> its directions, and its regions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..assets.catalogue import checked_path
from ..editing.closed_form import CLOSED_FORM
from ..editing.files import Directions, Regions, save_directions, save_regions
from ..editing.fit import fit
from ..editing.labels import LABELS
from ..editing.reader import fit_reader
from ..editing.regions import REGIONS, choose, mean_masks, measure
from ..editing.search import draw_w, search
from ..errors import UserError
from ..image import save_synthetic
from ..interfaces import Generator
from ..latents import to_json
from ..metrics.directions import validate
from ..metrics.regions import check_regions
from ..report.plots import png_of
from ..report.progress import Showing
from ..report.responses import plot_responses, strips
from ..report.run_folder import provenance
from ..storage import write_atomically

HELD_OUT = 1_000_003  # added to a seed: samples that no search draws


def find_directions(values: Mapping[str, Any], generator: Generator) -> None:
    """Search, fit, validate, report. `values`: the config of `find_directions`."""
    folder = Path(values["output_dir"])
    path = folder / "directions.safetensors"
    how = {key: values[key] for key in ("method", "samples", "identity_weight", "seed", "count")}
    if values["method"] in CLOSED_FORM:
        vectors = CLOSED_FORM[values["method"]](generator, values["count"])
        named = {f"{values['method']}_{i}": vector for i, vector in enumerate(vectors)}
        save_directions(path, Directions(named), generator, how)
        sheet = strips(generator, named, values["seed"])
        save_synthetic(folder / "strips.png", sheet, {**provenance(generator), "picture": "faces along directions"})
        print(f"directions: {path}; what they do: {folder / 'strips.png'}")
        return
    if values["method"] != "labels":
        raise UserError(f"method={values['method']}: choose labels, {' or '.join(CLOSED_FORM)}.")
    if values["judge"]:
        checked_path("faceres")  # before a quarter of an hour of searching
    with Showing("labelling", values["samples"]) as bar:
        found = search(generator, values["samples"], values["seed"], folder / "labels.safetensors", bar.reach)
    reader = fit_reader(found.identity, found.labels[:, :2])
    labels = reader.smooth(found.labels, found.identity)
    fitted = fit(found.w, labels, found.identity, generator.statistics(), values["identity_weight"])
    steps = dict(zip(LABELS, fitted.vectors, strict=True))
    directions = Directions(steps, dict(zip(LABELS, fitted.deviations.tolist(), strict=True)), "p", reader)
    save_directions(path, directions, generator, how)
    with Showing("validating", values["held_out"]) as bar:
        fresh = draw_w(generator, values["held_out"], values["seed"] + HELD_OUT)
        report = validate(generator, fresh, directions, values["judge"], bar.update)
    correlation = dict(zip(LABELS, fitted.correlation.tolist(), strict=True))
    curves = {name: np.array(rows) for name, rows in report.pop("curves").items()}
    document = {**how, "ridge": fitted.ridge, "correlation": correlation, "held_out": report}
    write_atomically(folder / "metrics.json", to_json(document))
    write_atomically(folder / "response.png", png_of(plot_responses(curves)))
    print(json.dumps(document["held_out"], indent=1))
    print(f"directions: {path}")


def find_regions(values: Mapping[str, Any], generator: Generator) -> None:
    """Masks, gradients, choice, check, report. `values`: the config of `find_regions`."""
    folder = Path(values["output_dir"])
    masks = mean_masks(generator, values["faces"], values["seed"] + HELD_OUT)
    with Showing("measuring", values["samples"]) as bar:
        changes = measure(generator, masks, values["samples"], values["seed"], bar.update)
    choice = choose(changes, masks, values["contrast"])
    regions = Regions(dict(zip(REGIONS, choice, strict=True)), masks)
    how = {key: values[key] for key in ("samples", "faces", "contrast", "seed")}
    save_regions(folder / "regions.safetensors", regions, generator, how)
    report, sheet = check_regions(generator, regions, values["couples"], values["seed"] + 2 * HELD_OUT)
    styles = {name: int(row.sum()) for name, row in zip(REGIONS, choice, strict=True)}
    write_atomically(
        folder / "metrics.json", to_json({**how, "styles": styles, "couples": values["couples"], **report})
    )
    save_synthetic(folder / "regions.png", sheet, {**provenance(generator), "picture": "regions from the mother"})
    print(json.dumps(report, indent=1))
    print(f"regions: {folder / 'regions.safetensors'}; what they do: {folder / 'regions.png'}")
