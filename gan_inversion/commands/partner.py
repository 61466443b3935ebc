"""A child and one parent -> faces of the other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..blending.offspring import Child
from ..blending.partner import partner
from ..blending.recipes import check_parents
from ..components import build
from ..interfaces import Generator, Latents
from ..latents import draw, hash_of_latents, latents_at
from ..report import family
from ..report.contact_sheet import tiles_sheet
from ..report.progress import bar_of
from ..report.run_folder import open_folder
from ..store.keys import job_of

log = logging.getLogger(__name__)


def find_partners(values: Mapping[str, Any], files: Mapping[str, str], generator: Generator) -> None:
    """Stored child and parent -> several faces of the other parent. `values`: the config of `partner`."""
    child, parent = (latents_at(values[key]) for key in ("of_child", "parent"))
    check_parents(child, parent, generator, ("child", "parent"))
    steering = build(values["child"], "child")
    directions = steering.load(generator)
    if child.style_offset is not None:
        log.warning(
            "this child inherited by region: its style offset is left out, and its other parent guessed without it"
        )
    hashes = {key: hash_of_latents(one.latents) for key, one in (("of_child", child), ("parent", parent))}
    job = job_of(dict(values)) | hashes
    inputs = [str(values[key]).rpartition(":")[0] or values[key] for key in ("of_child", "parent")]
    folder = open_folder(values["output_dir"], job, files, values["overwrite"], inputs)
    other = (
        "female" if directions and directions.require_reader()(draw(generator, parent.latents)).male > 0.5 else "male"
    )
    found = {}
    for index in bar_of("partners", "face")(range(values["samples"])):
        ws = partner(child.ws, parent.ws, generator, values["seed"], index, values["diversity"])
        for steered in steering(Latents(ws), other, directions, generator):
            name = Child(index, {"sample": index}, steered, len(steering.targets) > 1).name.replace("child", "partner")
            found[name] = Child(index, {"sample": index}, steered)
    pictures = family.decode({name: one.latents for name, one in found.items()}, generator)
    known = family.decode({"child": child.latents, "parent": parent.latents}, generator)
    tiles = {"child": known["child"], "known parent": known["parent"]}
    tiles |= {name.replace("_", " "): picture for name, picture in pictures.items()}
    facts = family.facts_of(generator, (child, parent))
    folder.synthetic("partners.png", tiles_sheet(tiles, family.footer_of(facts)), {**facts, "picture": "partners"})
    family.report_children(folder, found, pictures, generator, (child, parent), job)
    print(f"partners: {folder.root / 'partners.png'}")
