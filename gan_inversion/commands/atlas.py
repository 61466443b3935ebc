"""Stored faces on a map among the population of W: a picture and a page."""

from __future__ import annotations

from dataclasses import dataclass

from ..estimators.identity import dlib_resnet
from ..report.atlas import points as atlas
from ..report.atlas.page import save_atlas
from ..report.family import facts_of
from .common import Common, Invocation, at_least, open_job


@dataclass(frozen=True, kw_only=True)
class Atlas(Common):
    latents: tuple[str, ...]
    samples: int = at_least(1)
    method: str
    dimensions: int
    thumbnail: int = at_least(16)
    neighbours: int = at_least(0)
    identity: bool

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the file or the key."""
        network = dlib_resnet(self.device) if self.identity else None
        generator = self.generator.load(self.device)
        faces = atlas.find_faces(self.latents, generator)
        points = [*faces, *atlas.population(generator, self.samples, self.seed)]
        w = atlas.whitened(points, generator.statistics())
        coordinates, explained = atlas.project(w, len(faces), self.method, self.dimensions, self.seed)

        inputs = [face.path for face in faces if face.path]
        folder, job = open_job(self, call, inputs, latents=atlas.hashes(faces))
        pictures = atlas.draw_all(points, generator)
        near = {"latent": atlas.nearest(w[: len(faces)] / w.shape[1] ** 0.5, self.neighbours)}
        if network:
            embedded = atlas.embed_all(pictures[: len(faces)], network, self.device)
            near["identity"] = atlas.nearest(embedded, self.neighbours)
        rows = atlas.describe_points(points, coordinates, near)
        facts = facts_of(generator, [face.inversion for face in faces])
        print(f"atlas: {save_atlas(folder, rows, pictures, explained, facts, job)}")
