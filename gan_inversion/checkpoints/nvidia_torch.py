"""Networks as stylegan2-ada-pytorch and stylegan3 pickle them: objects whose attributes are modules and tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .checkpoint import Checkpoint
from .stand_ins import Foreign, Record
from .stored import TENSORS, StoredTensor, as_float32, check_total

MODULES, DEPTH, ENTRIES, NAME = 3_000, 16, 300_000, 100  # of one network; the largest has a tenth
_TRAINING_ONLY = re.compile(r"num_batches_tracked$")

# Options of ours: the arguments they come from, and those arguments' defaults in that code.
STYLEGAN2_DEFAULTS: dict[str, Any] = {
    "conv_clamp": None,
    "activation": "lrelu",
    "use_noise": True,
    "architecture": "skip",
}
STYLEGAN3_DEFAULTS: dict[str, Any] = {  # of SynthesisNetwork
    "channel_base": 32768,
    "channel_max": 512,
    "num_layers": 14,
    "num_critical": 2,
    "first_cutoff": 2,
    "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3,
    "margin_size": 10,
    "output_scale": 0.25,
    "num_fp16_res": 4,
}
STYLEGAN3_LAYER_DEFAULTS: dict[str, Any] = {  # of SynthesisLayer
    "conv_kernel": 3,
    "filter_size": 6,
    "lrelu_upsampling": 2,
    "use_radial_filters": False,
    "conv_clamp": 256,
    "magnitude_ema_beta": 0.999,
}


@dataclass(frozen=True)
class TorchModule:
    """A network, as data.

    tensors: parameters and buffers by dotted name, still in the file. attributes: of each module by its dotted path
    ("" for the network), numbers and text. arguments: keyword arguments each module was made with, likewise.
    """

    class_name: str
    tensors: Mapping[str, StoredTensor]
    attributes: Mapping[str, Mapping[str, Any]]
    arguments: Mapping[str, Mapping[str, Any]]

    def option(self, name: str, paths: tuple[str, ...], default: Any) -> Any:
        """An attribute of the first module that has it, else an argument, else the default."""
        for table in (self.attributes, self.arguments):
            for path in paths:
                if name in table.get(path, {}):
                    return table[path][name]
        return default


def flattened(network: Record) -> TorchModule:
    """Raises UserError if its modules are no tree of a sensible size."""
    tensors: dict[str, StoredTensor] = {}
    attributes: dict[str, dict[str, Any]] = {}
    arguments: dict[str, dict[str, Any]] = {}
    waiting: list[tuple[str, Any, int]] = [("", network, 0)]
    entries = 0  # hostile files refer to one large part many times
    while waiting:
        path, module, depth = waiting.pop()
        if depth > DEPTH or len(attributes) > MODULES or len(tensors) > TENSORS:
            raise UserError("its modules are nested deeper, or are more, than those of any network")
        if not isinstance(module, Record):
            raise UserError(f"its module {path or 'network'} is a {type(module).__name__}")
        prefix = f"{path}." if path else ""
        parts = {key: module.state.get(key) or {} for key in ("_parameters", "_buffers", "_modules")}
        made_with = module.state.get("_init_kwargs")
        made_with = made_with if isinstance(made_with, dict) else {}
        inner = (made_with.get(key) for key in ("synthesis_kwargs", "mapping_kwargs"))
        parts_of = (module.state, made_with, *parts.values(), *(part for part in inner if isinstance(part, dict)))
        entries += sum(map(len, parts_of))
        if entries > ENTRIES:
            raise UserError("its modules have more parts than those of any network")
        if not all(isinstance(part, dict) and all(map(_short, part)) for part in parts.values()):
            raise UserError(f"its module {path or 'network'} is damaged")
        for name, value in (parts["_parameters"] | parts["_buffers"]).items():
            if isinstance(value, StoredTensor):
                tensors[prefix + name] = value
            elif value is not None:
                raise UserError(f"its tensor {prefix}{name} is a {type(value).__name__}")
        waiting += [(prefix + name, child, depth + 1) for name, child in parts["_modules"].items() if child is not None]
        attributes[path] = {k: v for k, v in module.state.items() if _short(k) and k[:1] != "_" and _plain(v)}
        arguments[path] = _arguments(made_with)
    return TorchModule(network.name, tensors, attributes, arguments)


def _short(name: Any) -> bool:
    return type(name) is str and len(name) < NAME


def _plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float) or _short(value)


def _arguments(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Those of stylegan2-ada's Generator are nested by network."""
    inner = made_with.get("synthesis_kwargs")
    flat = {**made_with, **(inner if isinstance(inner, dict) else {})}
    found = {key: value for key, value in flat.items() if type(key) is str and _plain(value)}
    mapping = made_with.get("mapping_kwargs")
    if isinstance(mapping, dict):
        found |= {f"mapping.{key}": value for key, value in mapping.items() if type(key) is str and _plain(value)}
    return found


def is_network_pickle(tree: Any) -> bool:
    """A dict of networks, or one network alone (as PTI stores its tuned generators)."""
    parts = [tree.get(key) for key in ("G_ema", "G", "D")] if isinstance(tree, dict) else [tree]
    return any(isinstance(part, Record) and "_modules" in part.state for part in parts)


def to_checkpoint(tree: Any, file_size: int) -> Checkpoint:
    """G_ema, else G. Raises UserError if there is neither, or if it is no StyleGAN2 or StyleGAN3."""
    parts = [tree.get(key) for key in ("G_ema", "G")] if isinstance(tree, dict) else [tree]
    found = next((part for part in parts if isinstance(part, Record)), None)
    if found is None:
        raise UserError("it holds a discriminator only, no generator (G_ema or G). Take the whole file of the training")
    module = flattened(found)
    tensors = {name: tensor for name, tensor in module.tensors.items() if not _TRAINING_ONLY.search(name)}
    check_total(list(tensors.values()), file_size)
    family = family_of(tensors)
    if any(name.startswith("mapping.embed_proj.") for name in tensors):
        raise UserError("its network is a StyleGAN-XL, which is not read here: its classes and its growth are others")
    if family is None and isinstance(found, Foreign):
        raise whole_object(found)
    if family is None:
        raise UserError(f"its network, a {module.class_name[:100]}, is no generator of StyleGAN2 or StyleGAN3")
    options = stylegan2_options(module) if family == "stylegan2" else stylegan3_options(module)
    state = {name: as_float32(tensor) for name, tensor in tensors.items()}
    return Checkpoint(family, state, options, _facts(tree, module))


def whole_object(found: Record) -> UserError:
    """For objects that were saved with their class, of which only their authors' code knows what it does."""
    return UserError(f"it holds a whole object of class {found.name[:100]}: save its state_dict() where it was made")


def family_of(names: Mapping[str, Any]) -> str | None:
    """By names of tensors in the spelling of this code."""
    if "mapping.fc0.weight" in names and "synthesis.b4.const" in names:
        return "stylegan2"
    if "mapping.fc0.weight" in names and "synthesis.input.freqs" in names:
        return "stylegan3"
    return None


def _mapping_options(module: TorchModule) -> dict[str, Any]:
    first = module.attributes.get("mapping.fc0", {})
    given = {**module.arguments.get("", {})}
    inner = module.arguments.get("mapping", {})
    multiplier = first.get("bias_gain", inner.get("lr_multiplier", given.get("mapping.lr_multiplier", 0.01)))
    activation = first.get("activation", inner.get("activation", given.get("mapping.activation", "lrelu")))
    return {"mapping_lr_multiplier": float(multiplier), "mapping_activation": activation}


def stylegan2_options(module: TorchModule) -> dict[str, Any]:
    """What the shapes of a StyleGAN2's tensors do not tell."""
    paths = ("synthesis.b4.conv1", "synthesis.b4", "synthesis", "")
    options = {name: module.option(name, paths, default) for name, default in STYLEGAN2_DEFAULTS.items()}
    blocks = [values for path, values in module.attributes.items() if re.fullmatch(r"synthesis\.b\d+", path)]
    half = sum(bool(values.get("use_fp16")) for values in blocks)
    options["num_fp16_res"] = half or module.option("num_fp16_res", ("synthesis", ""), 0)
    return _mapping_options(module) | options


def stylegan3_options(module: TorchModule) -> dict[str, Any]:
    """All that a StyleGAN3's layers follow from."""
    names = (path for path in module.attributes if re.fullmatch(r"synthesis\.L0_\d+_\d+", path))
    paths = (next(names, "synthesis"), "synthesis", "")
    options = {
        name: module.option(name, paths[1:], default)
        for name, default in {**STYLEGAN3_DEFAULTS, "w_dim": 512, "img_channels": 3}.items()
    }
    options |= {name: module.option(name, paths, default) for name, default in STYLEGAN3_LAYER_DEFAULTS.items()}
    resolution = module.option("img_resolution", paths[1:], None)
    return _mapping_options(module) | options | ({} if resolution is None else {"img_resolution": resolution})


def _facts(tree: Any, module: TorchModule) -> dict[str, Any]:
    facts: dict[str, Any] = {"format": "NVIDIA PyTorch pickle", "network": module.class_name}
    if isinstance(tree, dict):
        facts["weights"] = "G_ema" if isinstance(tree.get("G_ema"), Record) else "G"
        training = tree.get("training_set_kwargs")
        if isinstance(training, dict):  # its path is somebody's folder: left out
            kept = ("resolution", "max_size", "use_labels", "xflip")
            facts["training_set"] = {key: training[key] for key in kept if key in training and _plain(training[key])}
        for key in ("cur_nimg", "images_seen"):
            if type(tree.get(key)) is int:
                facts["images_seen"] = tree[key]
    return facts
