"""How steady readings of traits are: python -m tests.steadiness [traits or light] [FOLDER of aligned pictures]

24 faces that the default generator samples, and the folder's, each in pictures that differ by nothing of the face. Prints
for each trait what 95 % of readings move by; or what taking light out of the skin would gain: by the whites of the eyes, by
the picture's mean, or not at all (half of the sampled faces).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from gan_inversion.editing.search import draw_w
from gan_inversion.faces.masks import person_mask
from gan_inversion.faces.mesh import face_mesh, find_mesh
from gan_inversion.faces.patches import eye_pixels, lab_of, skin_pixels
from gan_inversion.faces.traits import TOLERANCES, of_trait, read_traits
from gan_inversion.image import load_photo, resized, to_tensor, to_uint8
from gan_inversion.interfaces import Generator

SAMPLES, SEED, SIDE = 24, 11, 256
EXPOSED = 2**0.2  # a fifth of a stop
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
LIGHTS = [(stops, 0.0, 0.0) for stops in (-0.7, -0.35, 0.35, 0.7)] + [
    (0.0, 0.15, -0.15), (0.0, -0.15, 0.15), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1), (0.0, 0.0, -0.1)
]  # fmt: skip
WALLS = ((30, 30, 30), (120, 120, 120), (235, 235, 235), (200, 140, 90), (110, 150, 210))


def linear(pixels: np.ndarray) -> np.ndarray:
    x = pixels / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def lit(pixels: np.ndarray, gains: float | np.ndarray) -> np.ndarray:
    """In so many times the light, by channel; clipped as a camera does."""
    x = (linear(pixels) * gains).clip(1e-9, 1)
    coded = np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
    found: np.ndarray = (coded.clip(0, 1) * 255).round().astype(np.uint8)
    return found


def changed(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 [256, 256, 3] -> the same face, changed by nothing of the face: what TOLERANCES were measured by."""
    size, moves = (
        pixels.shape[:2][::-1],
        {"right": (1.0, 2.56, 0.0), "up": (1.0, 0.0, -2.56), "larger": (1.01, -1.28, -1.28)},
    )
    moved = {
        name: cv2.warpAffine(pixels, np.array([[scale, 0, x], [0, scale, y]]), size, borderMode=cv2.BORDER_REFLECT)
        for name, (scale, x, y) in moves.items()
    }
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    saved = np.ascontiguousarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1])
    return {**moved, "jpeg": saved, "lighter": lit(pixels, EXPOSED), "darker": lit(pixels, 1 / EXPOSED)}


def without_light(pixels: np.ndarray, way: str) -> np.ndarray:
    """The picture as it would be if what is taken for white were."""
    if way == "as it is":
        return pixels
    if way == "whites of the eyes":
        seen = np.dstack([lab_of(pixels)[..., :1], linear(pixels)])  # lightness, and linear colours
        eyes = np.concatenate(eye_pixels(find_mesh(pixels, face_mesh()), seen))
        bright = (eyes[:, 0] >= np.percentile(eyes[:, 0], 70)) & (eyes[:, 0] <= np.percentile(eyes[:, 0], 95))
        return lit(pixels, 0.42 / np.median(eyes[bright, 1:], 0).clip(1e-3))
    light = (linear(pixels).reshape(-1, 3) ** 6).mean(0) ** (1 / 6)  # shades of grey (Finlayson 2004)
    return lit(pixels, 0.55 / (light @ LUMINANCE) if way == "grey, exposure" else 0.55 / light)


def ita(pixels: np.ndarray) -> float:
    skin = np.median(skin_pixels(find_mesh(pixels, face_mesh()), lab_of(pixels)), 0)
    return float(np.degrees(np.arctan2(skin[0] - 50, skin[2])))


def on_walls(pixels: np.ndarray) -> list[np.ndarray]:
    """The person in front of other backgrounds."""
    person = person_mask(to_tensor(pixels))[0, 0].numpy()[..., None]
    return [(pixels * person + np.array(wall) * (1 - person)).round().astype(np.uint8) for wall in WALLS]


def sampled(generator: Generator, count: int = SAMPLES, seed: int = SEED) -> dict[str, np.ndarray]:
    faces = {}
    for i, w in enumerate(draw_w(generator, count, seed)):
        with torch.no_grad():
            picture = generator.synthesis(w[None, None].repeat(1, generator.num_ws, 1))
        faces[f"sample_{i:02d}"] = resized(to_uint8(picture), SIDE, SIDE)
    return faces


def main(what: str = "traits", folder: str | None = None) -> None:
    from gan_inversion.generators.mobile_stylegan import ffhq

    torch.set_num_threads(1)
    paths = sorted(Path(folder).glob("*.jpg")) if folder else []
    photos = {path.stem: resized(load_photo(path).pixels, SIDE, SIDE) for path in paths}
    if what == "light":
        compare_lights([*photos.values(), *sampled(ffhq(), SAMPLES // 2).values()])
    else:
        measure_traits(photos | sampled(ffhq()))


def measure_traits(faces: Mapping[str, np.ndarray]) -> None:
    moved: dict[str, list[float]] = {trait: [] for trait in TOLERANCES}
    begin = time.process_time()
    readings = {name: read_traits(to_tensor(pixels)) for name, pixels in faces.items()}
    print(f"{(time.process_time() - begin) / len(faces):.3f} s a picture")
    for name, read in readings.items():
        print(name, " ".join(f"{key}={value}" for key, value in read.describe().items()))
        for other in map(read_traits, map(to_tensor, changed(faces[name]).values())):
            for trait in TOLERANCES:
                off = float(np.linalg.norm(of_trait(other, trait) - of_trait(read, trait)))
                moved[trait] += [off] if np.isfinite(off) else []
    for trait, offs in moved.items():
        rms = np.mean(np.square(offs)) ** 0.5
        print(
            f"{trait:14} n {len(offs)}: 95 % move by less than {np.percentile(offs, 95):.4f}, root mean square {rms:.4f}"
        )


def compare_lights(faces: Sequence[np.ndarray]) -> None:
    print("ITA in degrees: deviation by light and white balance, by background, between faces")
    gains = [2**stops * np.exp([red, -(red + blue) / 4, blue]) for stops, red, blue in LIGHTS]
    for way in ("as it is", "whites of the eyes", "grey", "grey, exposure"):
        own = np.std([ita(without_light(pixels, way)) for pixels in faces])
        light = np.mean([np.var([ita(without_light(lit(face, g), way)) for g in gains]) for face in faces]) ** 0.5
        wall = np.mean([np.var([ita(without_light(one, way)) for one in on_walls(face)]) for face in faces]) ** 0.5
        print(f"{way:20} {light:5.1f} {wall:5.1f} {own:5.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
