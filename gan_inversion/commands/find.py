"""What changes age, gender, pose, smile and eyes in a generator's W, which styles move which region of a face, and who its
samples are like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..assets.catalogue import checked_path
from ..editing.closed_form import CLOSED_FORM
from ..editing.files import Directions, Regions, load_directions, save_directions, save_regions
from ..editing.fit import fit
from ..editing.labels import LABELS
from ..editing.people import (
    HAIR,
    SCALES,
    People,
    hair_and_skin,
    hair_answer,
    in_rows_of_hair,
    load_people,
    measure_people,
    save_people,
)
from ..editing.reader import fit_reader
from ..editing.regions import REGIONS, choose, mean_masks, measure
from ..editing.scene import find_scene
from ..editing.scene_reader import read_marks
from ..editing.search import HELD_OUT, draw_w, search
from ..errors import UserError
from ..interfaces import Generator
from ..latents import hash_of, to_json
from ..metrics.directions import validate
from ..metrics.regions import check_regions
from ..metrics.responses import STEPS as RESPONSE_STEPS
from ..metrics.responses import responses
from ..report.plots import png_of
from ..report.progress import Showing
from ..report.responses import plot_responses, rows_along, strips
from ..report.run_folder import RunFolder, provenance
from .common import Common, Invocation, at_least, open_job


@dataclass(frozen=True, kw_only=True)
class FindDirections(Common):
    method: str
    directions: str
    people: str
    marks: str
    count: int = at_least(1)
    samples: int = at_least(1)
    held_out: int = at_least(1)
    identity_weight: float
    judge: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError for an unknown method, or a judge that was not fetched."""
        if self.method not in (*CLOSED_FORM, "labels", "people", "scene", "stored"):
            raise UserError(f"method={self.method}: choose labels, people, scene, stored, {' or '.join(CLOSED_FORM)}.")
        if self.method == "labels" and self.judge:
            checked_path("faceres")  # before a quarter of an hour of searching
        generator = self.generator.load(self.device)
        stored = load_directions(self.directions, generator) if self.method in ("people", "scene", "stored") else None
        people = load_people(self.people, generator) if self.method in ("people", "scene") else None
        marks = read_marks(self.marks) if self.method == "scene" else {}
        content = {"directions": stored.sha256 if stored else "", "people": people.sha256 if people else ""}
        content |= {"marks": hash_of(to_json(sorted(marks.items())))} if marks else {}
        folder, _ = open_job(self, call, (), **content)
        how = {key: getattr(self, key) for key in ("method", "samples", "identity_weight", "seed", "count")}
        if stored and people and marks:
            self._of_scene(folder, generator, stored, people, marks)
        elif stored and people:
            self._of_people(folder, generator, stored, people)
        elif stored:
            self._measured(folder, generator, stored)
        elif self.method == "labels":
            self._by_labels(folder, generator, how)
        else:
            self._in_closed_form(folder, generator, how)

    def _in_closed_form(self, folder: RunFolder, generator: Generator, how: dict[str, object]) -> None:
        vectors = CLOSED_FORM[self.method](generator, self.count)
        named = {f"{self.method}_{i}": vector for i, vector in enumerate(vectors)}
        path = folder.path("directions.safetensors")
        save_directions(path, Directions(named), generator, how)
        sheet = strips(generator, named, self.seed)
        facts = {**provenance(generator), "picture": "faces along directions"}
        shown = folder.synthetic("strips.png", sheet, facts)
        folder.finish("metrics.json", how)
        print(f"directions: {path}; what they do: {shown}")

    def _of_scene(
        self, folder: RunFolder, generator: Generator, known: Directions, people: People, marks: Mapping[int, float]
    ) -> None:
        """`glasses`, `light` and `shade`, and what reads the scene, added to the directions of a file.

        Raises UserError for other spaces, and for marks beyond the samples.
        """
        if known.space != "p":
            raise UserError(f"directions={self.directions}: they are not straight in P, where these are found.")
        with Showing("drawing", min(self.samples, len(people.identity))) as bar:
            made, told = find_scene(generator, people, marks, known, self.samples, self.identity_weight, bar.update)
        how = {"method": self.method, "identity_weight": self.identity_weight, "samples": self.samples}
        how |= {"people": people.sha256, "beside": known.sha256, "marks": len(marks)}
        path = folder.path("directions.safetensors")
        save_directions(path, made, generator, how)
        folder.finish("metrics.json", {**how, **told})
        print(f"directions: {path}; {json.dumps(told)}")

    def _of_people(self, folder: RunFolder, generator: Generator, known: Directions, people: People) -> None:
        """`hair_darkness`, added to the directions of a file, which stay as they are. Raises UserError for other spaces."""
        if known.space != "p":
            raise UserError(f"directions={self.directions}: they are not straight in P, where this one is found.")
        others = {name: vector for name, vector in known.vectors.items() if name != HAIR}
        w, labels = hair_and_skin(people, generator)
        read, beside = labels.isfinite().all(1), torch.stack(list(others.values()))
        identity, statistics = people.identity[read], generator.statistics()
        found = fit(w[read], labels[read], identity, statistics, self.identity_weight, beside)
        step = in_rows_of_hair(found.vectors[0], generator.num_ws)
        with Showing("measuring", self.held_out) as bar:
            fresh = draw_w(generator, self.held_out, self.seed + HELD_OUT)
            answer = hair_answer(generator, fresh, step, bar.update)
        if answer != answer:
            raise UserError(f"held_out={self.held_out}: in none of these pictures hair could be read. Draw more.")
        made = replace(known, vectors={**others, HAIR: step}, deviations={**known.deviations, HAIR: answer})
        how = {"method": self.method, "identity_weight": self.identity_weight}
        how |= {"people": people.sha256, "beside": known.sha256}
        path = folder.path("directions.safetensors")
        save_directions(path, made, generator, how)
        numbers = {
            "n": int(read.sum()),
            "ridge": found.ridge,
            "correlation": float(found.correlation[0]),
            "answer": answer,
        }
        folder.finish("metrics.json", {**how, **numbers})
        print(f"directions: {path}; {HAIR}: {json.dumps(numbers)}")

    def _measured(self, folder: RunFolder, generator: Generator, directions: Directions) -> None:
        """Nothing is found: what the directions of a file do to fresh faces."""
        fresh = draw_w(generator, self.held_out, self.seed + HELD_OUT)
        with Showing("measuring", self.held_out) as bar:
            report = responses(generator, fresh, directions, bar.update)
        face = draw_w(generator, 1, self.seed)[0].repeat(generator.num_ws, 1)
        sheet = rows_along(generator, directions, face, RESPONSE_STEPS)
        facts = {**provenance(generator), "picture": "faces along directions"}
        shown = folder.synthetic("strips.png", sheet, facts)
        document = {"method": self.method, "seed": self.seed, "n": self.held_out, "steps": RESPONSE_STEPS}
        folder.finish("metrics.json", {**document, "responses": report})
        print(json.dumps(report, indent=1))
        print(f"what they do: {shown}")

    def _by_labels(self, folder: RunFolder, generator: Generator, how: dict[str, object]) -> None:
        with Showing("labelling", self.samples) as bar:
            labels = folder.root / "labels.safetensors"  # not listed: another fit to the same samples labels none anew
            found = search(generator, self.samples, self.seed, labels, bar.reach, self.overwrite)
        reader = fit_reader(found.identity, found.labels[:, :2])
        smooth = reader.smooth(found.labels, found.identity)
        fitted = fit(found.w, smooth, found.identity, generator.statistics(), self.identity_weight)
        steps = dict(zip(LABELS, fitted.vectors, strict=True))
        directions = Directions(steps, dict(zip(LABELS, fitted.deviations.tolist(), strict=True)), "p", reader)
        path = folder.path("directions.safetensors")
        save_directions(path, directions, generator, how)
        with Showing("validating", self.held_out) as bar:
            fresh = draw_w(generator, self.held_out, self.seed + HELD_OUT)
            report = validate(generator, fresh, directions, self.judge, bar.update)
        correlation = dict(zip(LABELS, fitted.correlation.tolist(), strict=True))
        curves = {name: np.array(rows) for name, rows in report.pop("curves").items()}
        folder.write("response.png", png_of(plot_responses(curves)))
        folder.finish("metrics.json", {**how, "ridge": fitted.ridge, "correlation": correlation, "held_out": report})
        print(json.dumps(report, indent=1))
        print(f"directions: {path}")


@dataclass(frozen=True, kw_only=True)
class FindRegions(Common):
    samples: int = at_least(1)
    faces: int = at_least(1)
    couples: int = at_least(1)
    contrast: float

    def run(self, call: Invocation) -> None:
        """Masks, gradients, choice, check, report."""
        generator = self.generator.load(self.device)
        folder, _ = open_job(self, call, ())
        masks = mean_masks(generator, self.faces, self.seed + HELD_OUT)
        with Showing("measuring", self.samples) as bar:
            changes = measure(generator, masks, self.samples, self.seed, bar.update)
        choice = choose(changes, masks, self.contrast)
        regions = Regions(dict(zip(REGIONS, choice, strict=True)), masks)
        how = {key: getattr(self, key) for key in ("samples", "faces", "contrast", "seed")}
        path = folder.path("regions.safetensors")
        save_regions(path, regions, generator, how)
        report, sheet = check_regions(generator, regions, self.couples, self.seed + 2 * HELD_OUT)
        facts = {**provenance(generator), "picture": "regions from the mother"}
        shown = folder.synthetic("regions.png", sheet, facts)
        styles = {name: int(row.sum()) for name, row in zip(REGIONS, choice, strict=True)}
        folder.finish("metrics.json", {**how, "styles": styles, "couples": self.couples, **report})
        print(json.dumps(report, indent=1))
        print(f"regions: {path}; what they do: {shown}")


@dataclass(frozen=True, kw_only=True)
class FindPeople(Common):
    samples: int = at_least(2)

    def run(self, call: Invocation) -> None:
        """Samples, drawn and read."""
        generator = self.generator.load(self.device)
        folder, _ = open_job(self, call, ())
        with Showing("reading", self.samples) as bar:
            people = measure_people(generator, self.samples, self.seed, bar.update)
        path = folder.path("people.safetensors")
        save_people(path, people, generator, {"samples": self.samples})
        read = people.readings.isfinite().float().mean(0).tolist()
        numbers = {name: round(share, 3) for name, share in zip(SCALES, read, strict=True)}
        folder.finish("metrics.json", {"samples": self.samples, "seed": self.seed, "share_read": numbers})
        print(f"people: {path}; shares of readings: {json.dumps(numbers)}")
