"""A generator as two ONNX graphs, so that other runtimes draw the latents that are found here.

`mapping`: z [N, z_dim] -> w [N, D]. `synthesis`: ws [N, L, D], style_offset [N, S] -> image [N, 3, R, R], about -1..1, with
the generator's own noise; an offset of zeros is none. N is free. Noise, features and tuned copies, which refinements may
add, are not in them.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..interfaces import Generator

OPSET = 17
TOLERANCE = 2e-4  # of w and of the picture, absolute
SAMPLES = (1, 3)  # numbers of samples that each graph is checked with; it is traced with another


class _Mapping(nn.Module):
    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        w: Tensor = self.generator.mapping(z)
        return w


class _Synthesis(nn.Module):
    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, ws: Tensor, style_offset: Tensor) -> Tensor:
        image: Tensor = self.generator.synthesis(ws, styles=self.generator.styles(ws) + style_offset)
        return image


def graphs_of(generator: Generator) -> tuple[dict[str, bytes], dict[str, float]]:
    """Name -> ONNX file; and how far each is at most from torch. The generator is on the CPU.

    Raises UserError: packages missing, a generator of half precision, or a graph that draws something else.
    """
    onnx, runtime = _packages()
    if getattr(getattr(generator, "network", None), "precision", "float32") != "float32" or _is_half(generator):
        raise UserError(f"{generator.name}: its layers of 16 bit cannot be exported. Take generator.precision=float32.")
    files, differences = {}, {}
    for name, module, result in (("mapping", _Mapping(generator), "w"), ("synthesis", _Synthesis(generator), "image")):
        data = _described(onnx, _traced(module.eval(), _inputs(generator, name, 2, 0), result), generator)
        differences[name] = _difference(runtime, data, module, generator, name)
        if not differences[name] <= TOLERANCE:
            raise UserError(
                f"{generator.name}: {name} as ONNX is {differences[name]:.1e} off, more than {TOLERANCE}. Not written."
            )
        files[name] = data
    return files, differences


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        import onnx  # an extra, and slow to import
        import onnxruntime
    except ImportError as missing:
        raise UserError('ONNX files need onnx and onnxruntime. Run: pip install ".[onnx]"') from missing
    return onnx, onnxruntime


def _is_half(generator: Any) -> bool:
    return any(getattr(module, "float16", False) for module in generator.modules())


def _inputs(generator: Generator, name: str, count: int, seed: int) -> dict[str, Tensor]:
    """What a graph is traced and checked with: samples, and offsets of a tenth of each style."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.z_dim, generator=random)
    if name == "mapping":
        return {"z": z}
    with torch.no_grad():
        ws = generator.mapping(z)[:, None].repeat(1, generator.num_ws, 1)
        styles = generator.styles(ws)
    return {"ws": ws, "style_offset": 0.1 * styles * torch.randn(styles.shape, generator=random)}


def _traced(module: nn.Module, inputs: Mapping[str, Tensor], result: str) -> bytes:
    """By torch's older exporter: the newer one needs another package, and takes a hundred times as long."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "graph.onnx"
        warnings.simplefilter("ignore")  # that shapes become constants, as they should, and that it is the older one
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[*inputs],
            output_names=[result],
            dynamic_axes={name: {0: "n"} for name in (*inputs, result)},
        )
        return file.read_bytes()


def _described(onnx: Any, data: bytes, generator: Generator) -> bytes:
    """The same with what it is, whose and for what latents; checked."""
    model = onnx.load_from_string(data)
    facts = {"generator": generator.name, "generator_sha256": generator.sha256, "licence": generator.licence}
    facts["synthetic"] = "what this network draws shows nobody, and is to be marked as made by a machine"
    onnx.helper.set_model_props(model, {"gan_inversion": json.dumps(facts, sort_keys=True)})
    onnx.checker.check_model(model)
    described: bytes = model.SerializeToString()
    return described


def _difference(runtime: Any, data: bytes, module: nn.Module, generator: Generator, name: str) -> float:
    """The largest between ONNX Runtime's numbers and torch's."""
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = []
    for count in SAMPLES:
        inputs = _inputs(generator, name, count, count)
        with torch.no_grad():
            ours = module(*inputs.values())
        (theirs,) = session.run(None, {key: tensor.numpy() for key, tensor in inputs.items()})
        found.append((ours - torch.from_numpy(theirs)).abs().max().item())
    return max(found)
