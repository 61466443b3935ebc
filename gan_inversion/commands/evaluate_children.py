"""Are the children like children of their parents? Families -> how they are, against baselines and real families."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..assets.catalogue import checked_path
from ..editing.search import HELD_OUT
from ..editing.steering import Steering
from ..errors import UserError
from ..image import save_synthetic_jpeg
from ..interfaces import Generator
from ..latents import hash_of, to_json
from ..metrics.children import real_families, summarise_method
from ..metrics.couples import METHODS, Couple, photo_picture, pictures_of, sampled_couples, see_couple
from ..metrics.heredity import summarise_heredity
from ..metrics.kinship_sets import KinPhotos, find_families, pairs_of_photos
from ..report import album
from ..report.kinship import children_sheet, csv_of, plot_kinship, text_of
from ..report.plots import png_of
from ..report.progress import InversionBar, bar_of
from ..report.run_folder import footer_of, provenance
from ..storage import content_of
from ..store.inversions import invert_faces
from .common import Conceiving, Inverting, Invocation, at_least, fitting, open_job

OF_PHOTOGRAPHS = ("data", "aligner", "space", "start", "losses", "inversion", "runner", "store", "metrics")
SHEET_ROWS = 40  # couples on the sheet, the first


@dataclass(frozen=True, kw_only=True)
class EvaluateChildren(Inverting, Conceiving):
    data: str | None
    layout: str
    couples: int = at_least(1)

    def run(self, call: Invocation) -> None:
        """Raises UserError for what is missing; families whose photographs fail are told and left out."""
        idle = [key for key in call.typed if key.split(".")[0] in OF_PHOTOGRAPHS]
        if self.layout == "sampled" and idle:
            raise UserError(
                f"layout=sampled inverts no photograph: {', '.join(idle)} would change nothing. Leave it out."
            )
        generator = self.generator.load(self.device)
        conception = self.conception(generator)
        if conception.directions is None or not isinstance(conception.steering, Steering):
            raise UserError("children are evaluated at set ages: choose child=steered with its directions.")
        checked_path("faceres")  # all of this before any work
        families = [] if self.layout == "sampled" else self._families()
        photos = {str(path): content_of(str(path)) for kin in families for path in kin.photos}
        folder, job = open_job(self, call, (), photos=hash_of(to_json(sorted(photos.values()))))
        couples, failures = self._photographed(families, generator) if families else (self._sampled(generator), {})
        if not couples:
            reasons = "; ".join(failures.values()) or "none found"
            raise UserError(f"data={self.data}: no couple could be used: {reasons}")
        seen = [
            see_couple(couple, number, conception, generator, self.seed, folder.root / "couples")
            for number, couple in enumerate(bar_of("couples", "couple")(couples))
        ]
        table = {
            method: summarise_method(seen, method, self.seed) | summarise_heredity(seen, method, self.seed)
            for method in METHODS
            if any(family.children.get(method) for family in seen)
        }
        folder.write("children.csv", csv_of(table).encode())
        folder.write("children.png", png_of(plot_kinship(table, real_families())))
        rows = [pictures_of(folder.root / "couples" / f"{couple.name}.safetensors") for couple in couples[:SHEET_ROWS]]
        made = provenance(generator)
        folder.path("children_sheet.jpg.json")
        save_synthetic_jpeg(folder.path("children_sheet.jpg"), children_sheet(rows, footer_of(made)), made)
        facts = {"couples": len(couples), "failed": failures, "settings": job}
        folder.finish("children.json", {"methods": table, "real_families": real_families(), **facts})
        print(text_of(table, real_families()))
        print(f"children: {folder.root}; {len(couples)} couples, {len(failures)} photographs failed")

    def _sampled(self, generator: Generator) -> list[Couple]:
        return sampled_couples(generator, self.couples, self.seed + 3 * HELD_OUT)

    def _families(self) -> list[KinPhotos]:
        """Those in the folder that have both parents."""
        if not self.data:
            raise UserError("data=FOLDER must be given, or layout=sampled.")
        found = pairs_of_photos(self.data) if self.layout == "photos" else find_families(self.data, self.layout)
        families = [kin for kin in found if kin.father and kin.mother][: self.couples]
        if not families:
            raise UserError(
                f"data={self.data}: no couples in it (kinfacew has one parent a child, and cannot be used)."
            )
        return families

    def _photographed(self, families: list[KinPhotos], generator: Generator) -> tuple[list[Couple], dict[str, str]]:
        """Aligned, parents inverted (each once, by the store). -> couples, reasons of photographs that failed."""
        wanted = dict.fromkeys(path for kin in families for path in kin.photos)
        aligner = fitting(self.aligner, generator)
        faces, failures = album.load_and_align({str(path): path for path in wanted}, aligner, None)
        by_path = {face.name: face for face in faces}
        parents = [str(p) for kin in families for p in (kin.father, kin.mother) if str(p) in by_path]
        task, todo = self.task(), [by_path[name] for name in dict.fromkeys(parents)]
        with InversionBar(len(todo), task.make_inverter().steps) as bar:
            done, failed = invert_faces(todo, [self.seed] * len(todo), task, self.runner, self.store, bar)
        if len(done) + len(failed) < len(todo) or any(not item.inversion.finished for item in done):
            raise KeyboardInterrupt  # what is finished is in the store
        inversions = {item.face.name: item.inversion for item in done}
        couples: list[Couple] = []
        for kin in families:
            father, mother = str(kin.father), str(kin.mother)
            if father in inversions and mother in inversions:
                children = tuple(photo_picture(by_path[str(c)]) for c in kin.children if str(c) in by_path)
                pictures = photo_picture(by_path[father]), photo_picture(by_path[mother])
                name = f"{len(couples):04d}_{kin.family}"
                couples.append(Couple(name, kin.family, inversions[father], inversions[mother], *pictures, children))
        reasons = {**failures, **{item.face.name: item.reason for item in failed}}
        root = f"{Path(str(self.data))}/"
        return couples, {name.removeprefix(root): reason.replace(root, "") for name, reason in reasons.items()}
