"""Families -> the table of how children are, against baselines and real families."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..assets.catalogue import checked_path
from ..components import build, build_aligner, build_conception, build_task
from ..editing.steering import Steering
from ..errors import UserError
from ..interfaces import Generator
from ..latents import to_json
from ..metrics.children import real_families, summarise_method
from ..metrics.couples import METHODS, Couple, photo_picture, sampled_couples, see_couple
from ..metrics.kinship_sets import find_families, pairs_of_photos
from ..report import album
from ..report.kinship import csv_of, plot_kinship, text_of
from ..report.progress import InversionBar, bar_of
from ..report.responses import png_of
from ..report.run_folder import open_folder
from ..storage import write_atomically
from ..store.inversions import invert_faces
from .find_directions import HELD_OUT


def evaluate_children(values: Mapping[str, Any], generator: Generator) -> None:
    """Families -> table of methods against real families. `values`: the config of `evaluate_children`."""
    conception = build_conception({**values, "siblings": 1, "siblings_only": None}, generator)
    if conception.directions is None or not isinstance(conception.steering, Steering):
        raise UserError("children are evaluated at set ages: choose child=steered with its directions.")
    checked_path("faceres")  # all of this before any work
    what = {key: values[key] for key in ("layout", "seed")}
    folder = open_folder(values["output_dir"], {"script": "evaluate_children", **what}, {}, False).root
    if values["layout"] == "sampled":
        couples, failures = (
            sampled_couples(generator, values["couples"], values["seed"] + 3 * HELD_OUT),
            dict[str, str](),
        )
    else:
        couples, failures = photographed_couples(values, generator)
    if not couples:
        raise UserError(
            f"data={values['data']}: no couple could be used: {'; '.join(failures.values()) or 'none found'}"
        )
    families = []
    for number, couple in enumerate(bar_of("couples", "couple")(couples)):
        families.append(see_couple(couple, number, conception, generator, values["seed"], folder / "couples"))
    table = {
        m: summarise_method(families, m, values["seed"]) for m in METHODS if any(f.children.get(m) for f in families)
    }
    settings = {key: values[key] for key in ("layout", "seed", "diversity", "blend", "inherit", "child")}
    facts = {"couples": len(couples), "failed": failures, "settings": settings}
    document = {"methods": table, "real_families": real_families(), **facts}
    write_atomically(folder / "children.json", to_json(document))
    write_atomically(folder / "children.csv", csv_of(table).encode())
    write_atomically(folder / "children.png", png_of(plot_kinship(table, real_families())))
    print(text_of(table, real_families()))
    print(f"children: {folder}; {len(couples)} couples, {len(failures)} photographs failed")


def photographed_couples(values: Mapping[str, Any], generator: Generator) -> tuple[list[Couple], dict[str, str]]:
    """Families found in a folder, aligned, parents inverted (each once, by the store). -> couples, reasons of failures."""
    if not values["data"]:
        raise UserError("data=FOLDER must be given, or layout=sampled.")
    families = (
        pairs_of_photos(values["data"])
        if values["layout"] == "photos"
        else find_families(values["data"], values["layout"])
    )
    families = [kin for kin in families if kin.father and kin.mother][: values["couples"]]
    if not families:
        raise UserError(
            f"data={values['data']}: no couples in it (kinfacew has one parent a child, and cannot be used)."
        )
    aligner = build_aligner(values["aligner"], generator.resolution, generator.domain)
    wanted = dict.fromkeys(path for kin in families for path in (kin.father, kin.mother, *kin.children) if path)
    faces, unaligned = album.load_and_align({str(path): path for path in wanted}, aligner, None)
    by_path = {face.name: face for face in faces}
    parents = [str(p) for kin in families for p in (kin.father, kin.mother) if str(p) in by_path]
    task, store = build_task(values), build(values["store"], "store")
    inverter = task.make_inverter()
    with InversionBar(len(set(parents)), inverter.optimiser.steps) as bar:
        todo = [by_path[name] for name in dict.fromkeys(parents)]
        runner = build(values["runner"], "runner")
        found, failed = invert_faces(todo, [values["seed"]] * len(todo), task, runner, store, bar)
    if len(found) + len(failed) < len(todo) or any(not item.inversion.finished for item in found):
        raise KeyboardInterrupt  # what is finished is in the store
    inversions = {item.face.name: item.inversion for item in found}
    couples: list[Couple] = []
    for kin in families:
        father, mother = str(kin.father), str(kin.mother)
        if father in inversions and mother in inversions:
            children = tuple(photo_picture(by_path[str(c)]) for c in kin.children if str(c) in by_path)
            pictures = photo_picture(by_path[father]), photo_picture(by_path[mother])
            name = f"{len(couples):04d}_{kin.family}"
            couples.append(Couple(name, kin.family, inversions[father], inversions[mother], *pictures, children))
    reasons = {**unaligned, **{item.face.name: item.reason for item in failed}}
    root = f"{Path(values['data'])}/"
    return couples, {name.removeprefix(root): reason.replace(root, "") for name, reason in reasons.items()}
