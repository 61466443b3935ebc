"""What holding the person is worth in an edit of age: `python -m tests.held_edits AGE [SAMPLES] [LATENTS ...]`.

Sampled faces, and those of files of latents, brought to AGE with `hold` and without, which is steps along directions by
closed loop. Judged by FaceRes, which steers nothing: its cosine with the face as it was, and the age it reads, because a
face that has aged less is easily itself.
"""

from __future__ import annotations

import sys

import numpy as np
import torch.nn.functional as F

from gan_inversion.editing.edits import STEPS, Edit
from gan_inversion.editing.search import draw_w
from gan_inversion.estimators.faceres import faceres
from gan_inversion.generators.mobile_stylegan import ffhq
from gan_inversion.interfaces import Generator, Latents
from gan_inversion.latents import load_latents, render
from gan_inversion.runtime import configure

SEED = 77


def judged(face: Latents, generator: Generator) -> tuple[np.ndarray, float]:
    image = render(generator, face, 256)
    return F.normalize(faceres().embed(image))[0].detach().numpy(), faceres().label(image)[0].age


def main(age: float, samples: int, files: list[str]) -> None:
    configure(1)
    generator = ffhq()
    faces = [Latents(w.repeat(generator.num_ws, 1)) for w in draw_w(generator, samples, SEED)]
    faces += [load_latents(file, "ws").latents for file in files]
    found: dict[int, list[tuple[float, float, float]]] = {STEPS: [], 0: []}
    for face in faces:
        before, own = judged(face, generator)
        for hold, rows in found.items():
            edit = Edit({"age": age}, hold=hold)
            after, read = judged(edit(face, edit.load(generator), generator).latents, generator)
            rows.append((float(before @ after), own, read))
    for hold, rows in found.items():
        cosine, own, read = np.array(rows).mean(0)
        print(f"hold={hold}: FaceRes {cosine:.3f}, reads {own:.0f} before and {read:.0f} after (n {len(rows)})")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8, sys.argv[3:])
