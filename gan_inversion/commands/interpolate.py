"""Stored latents in, a film of the walk through them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..blending import walk
from ..image import to_tensor
from ..report import video
from ..report.family import facts_of
from ..runtime import versions
from .common import Generating, Invocation, at_least, open_job


@dataclass(frozen=True, kw_only=True)
class Interpolate(Generating):
    """Nothing here is drawn at random: no seed."""

    overwrite: bool
    latents: tuple[str, ...]
    path: str
    frames: int = at_least(2)
    fps: int = at_least(1)
    size: int = at_least(32)
    easing: str
    loop: bool
    equal_speed: bool
    probes: int = at_least(2)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the file or the key."""
        walk.check(self.path, self.easing, self.size)
        generator = self.generator.load(self.device)
        stops = walk.load_stops(self.latents, generator)
        latents = [stop.inversion.latents for stop in stops]
        route = walk.Walk(latents + latents[:1] * self.loop, self.path, generator.statistics().mean)
        identities = [stop.identity for stop in stops]
        folder, job = open_job(self, call, [stop.file for stop in stops], latents=identities)

        knots, lengths = np.arange(route.legs + 1.0), np.ones(route.legs)
        ratios: dict[str, float] = {}
        if self.equal_speed:
            knots, lengths, ratios = walk.equal_speed(generator, route, self.probes)
        positions = walk.frame_positions(knots, lengths, self.frames, self.easing)
        frames = video.draw_frames(generator, route, positions, min(self.size, generator.resolution))
        facts = facts_of(generator, [stop.inversion for stop in stops])
        video.save_walk(folder, frames[:-1] if self.loop else frames, self.fps, facts)
        document = {**facts, "positions": positions.tolist(), "settings": job, "versions": versions()}
        if self.equal_speed:  # else LPIPS need not be there
            steps = walk.distances(map(to_tensor, frames))
            ratios["film"] = walk.max_to_mean(steps)  # with its easing
            document |= {"step_lpips": steps.tolist(), "max_to_mean_step": ratios}
        folder.finish("walk.json", document)
        print(f"walk: {folder.root / 'walk.mp4'}")
