"""Pickles and pictures of NVIDIA's TensorFlow code, for `tests/parity.py`: StyleGAN, StyleGAN2 and StyleGAN2-ADA.

    python tests/tensorflow_pickles.py CLONE FOLDER [KIND ...]

runs in an environment of its own, which has TensorFlow 2.21 and what the clone asks for (NumPy, Pillow, requests,
tensorboard), and writes `CASE.pkl`, three networks pickled as its training does, and `CASE.npz`, what the third draws.
The code was written for TensorFlow 1, whose interface lives on in `tensorflow.compat.v1`. Its compiled operations are
replaced by the slow ones beside them, and as convolutions on a CPU know [N, H, W, C] only, pictures are transposed
around them; nothing else is changed.
"""

from __future__ import annotations

import itertools
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

SIDES, Z_DIM = (16, 32, 64, 256), 16
SIZES = {
    "fmap_base": 512,
    "fmap_max": 16,
    "mapping_layers": 3,
    "mapping_fmaps": 24,
    "dlatent_size": 24,
    "latent_size": Z_DIM,
}
STYLEGAN = {
    "blur": {"use_noise": 1},
    "fused": {"use_noise": 1, "fused_scale": True, "use_wscale": False},
}  # 1: True is no size
STYLEGAN2 = {"skip": {}, "resnet": {"architecture": "resnet"}, "orig": {"architecture": "orig", "nonlinearity": "relu"}}
ADA = {
    **STYLEGAN2,
    "box": {"resample_kernel": None},
    "clamped": {"conv_clamp": 2.0, "resample_kernel": [1, 2, 1, 3]},
    "without_noise": {"use_noise": False, "mapping_lrmul": 0.02},
    "narrow_labels": {"label_fmaps": 5},
}
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "training.networks_stylegan2": {
        **STYLEGAN2,
        "revised": {"synthesis_func": "G_synthesis_stylegan_revised"},
    },  # first: its clone holds StyleGAN's code too
    "training.networks_stylegan": STYLEGAN,
    "training.networks": ADA,
}

FUNCTIONS = {
    "training.networks_stylegan2": ("G_main", "D_stylegan2"),
    "training.networks_stylegan": ("G_style", "D_basic"),
    "training.networks": ("G_main", "D_main"),
}


def patched(name: str) -> None:
    """Let a convolution take [N, C, H, W]."""
    real = getattr(tf.nn, name)

    def call(x: Any, w: Any, *more: Any, data_format: str = "NHWC", strides: Any = None, **keywords: Any) -> Any:
        if data_format == "NHWC":
            return real(x, w, *more, data_format=data_format, strides=strides, **keywords)
        move = lambda four: [four[0], four[2], four[3], four[1]]  # noqa: E731
        if "output_shape" in keywords:
            keywords["output_shape"] = move(keywords["output_shape"])
        x = tf.transpose(x, [0, 2, 3, 1])
        y = real(x, w, *map(move, more), data_format="NHWC", strides=move(strides), **keywords)
        return tf.transpose(y, [0, 3, 1, 2])

    setattr(tf.nn, name, call)


def prepare(clone: Path) -> None:
    tf.disable_v2_behavior()
    contrib: Any = types.ModuleType("tensorflow.contrib")
    sys.modules["tensorflow"], sys.modules["tensorflow.contrib"] = tf, contrib
    tf.contrib = contrib
    patched("conv2d")
    patched("conv2d_transpose")
    sys.path.insert(0, str(clone))
    try:
        from dnnlib.tflib.ops import fused_bias_act, upfirdn_2d
    except ImportError:  # of 2019, before there were any
        return
    fused_bias_act._fused_bias_act_cuda = fused_bias_act._fused_bias_act_ref
    upfirdn_2d._upfirdn_2d_cuda = upfirdn_2d._upfirdn_2d_ref


def randomise(network: Any, seed: int) -> None:
    """Every variable, in the order of sorted names."""
    draw, values = np.random.default_rng(seed), {}
    multiplier = network.static_kwargs.get("mapping_lrmul", 0.01)
    for name, variable in sorted(network.vars.items()):
        x = draw.standard_normal(variable.shape.as_list())
        last = name.split("/")[-1]
        if last == "lod":
            continue
        if "Dense" in name:
            x = x / multiplier * (1.0 if last == "weight" else 0.1)
        elif last in ("bias", "mod_bias", "noise_strength", "dlatent_avg") or "Noise/weight" in name:
            x = 0.3 * x
        values[variable] = x.astype(np.float32)
    import dnnlib.tflib as tflib

    tflib.set_vars(values)


def main(clone: Path, folder: Path, *wanted: str) -> None:
    prepare(clone)
    import dnnlib.tflib as tflib

    folder.mkdir(parents=True, exist_ok=True)
    module = next(m for m in KINDS if (clone / (m.replace(".", "/") + ".py")).exists())
    for kind, side, classes in itertools.product(wanted or KINDS[module], SIDES, (0, 3)):
        name = f"{kind}_{side}_{classes}"
        with tf.Graph().as_default(), tf.Session(config=tf.ConfigProto(allow_soft_placement=True)).as_default():
            tflib.init_tf()
            options = {**SIZES, **KINDS[module][kind], "resolution": side, "num_channels": 3, "label_size": classes}
            write(folder / name, module, options, 10 * side + classes)
        print(name, flush=True)


def write(path: Path, module: str, options: dict[str, Any], seed: int) -> None:
    import dnnlib.tflib as tflib

    functions = ("G", FUNCTIONS[module][0]), ("D", FUNCTIONS[module][1]), ("Gs", FUNCTIONS[module][0])
    made = [tflib.Network(name, func_name=f"{module}.{function}", **options) for name, function in functions]
    for number, network in enumerate(made):
        randomise(network, seed + 1000 * number)
    path.with_suffix(".pkl").write_bytes(pickle.dumps(tuple(made), pickle.HIGHEST_PROTOCOL))
    z = np.random.default_rng(seed).standard_normal((2, Z_DIM)).astype(np.float32)
    classes = options["label_size"]
    label = np.eye(max(classes, 2), dtype=np.float32)[[1, 1], :classes]
    keywords: dict[str, Any] = {"truncation_psi": 0.7, "truncation_cutoff": 4, "randomize_noise": False}
    if module != "training.networks_stylegan":
        keywords["fused_modconv"] = False  # the same, without convolutions in groups
    image = made[2].run(z, label, **keywords)
    w = made[2].components.mapping.run(z, label)[:, 0]
    np.savez(path.with_suffix(".npz"), z=z, w=w, image=image, classes=classes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
