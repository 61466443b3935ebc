"""NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3): modules saved with their source, which is not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..interfaces import UserError
from .checkpoint import Checkpoint
from .pickle_rules import Record, TensorRef

MAX_MODULES, MAX_DEPTH = 5000, 12
FORMAT = "NVIDIA PyTorch pickle"
# Keywords of StyleGAN3's synthesis network and its layers that change its picture.
STYLEGAN3 = (
    "img_resolution", "img_channels", "w_dim", "num_layers", "num_critical", "first_cutoff", "first_stopband",
    "last_stopband_rel", "channel_base", "channel_max", "margin_size", "output_scale", "num_fp16_res", "conv_kernel",
    "filter_size", "lrelu_upsampling", "use_radial_filters", "conv_clamp",
)  # fmt: skip


def checkpoint_of(tree: Mapping[Any, Any]) -> Checkpoint:
    """The generator of a network pickle: `G_ema`, the averaged one, else `G`. Raises UserError if there is none."""
    network = next((tree[key] for key in ("G_ema", "Gs", "G") if isinstance(tree.get(key), Record)), None)
    if network is None:
        raise UserError(f"no generator in it: it holds {_names(tree)}. A pickle with G_ema is needed.")
    state, attributes = flattened(network)
    if not any(name.startswith("mapping.") for name in state):
        raise UserError(f"no StyleGAN generator in it: {network.kind} has no mapping network.")
    if "synthesis.input.freqs" in state:
        family, options = "stylegan3", stylegan3_options(attributes)
    elif "synthesis.b4.const" in state:
        family, options = "stylegan2", stylegan2_options(attributes)
    else:
        raise UserError(
            f"{network.kind} is a generator of an unknown family: neither StyleGAN2's blocks nor StyleGAN3's."
        )
    facts = {"format": FORMAT, "network": network.kind} | _training(tree)
    return Checkpoint(family, state, {**options, **mapping_options(attributes)}, facts)


def flattened(network: Record) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Parameters and buffers by dotted name, float32; the other attributes of each module by its dotted name."""
    state: dict[str, Tensor] = {}
    attributes: dict[str, dict[str, Any]] = {}
    waiting: list[tuple[str, Any, int]] = [("", network, 0)]
    while waiting:
        name, module, depth = waiting.pop()
        if not isinstance(module, Record) or not isinstance(module.state, dict):
            raise UserError(f"damaged: {name or 'the network'} is no module.")
        if depth > MAX_DEPTH or len(attributes) > MAX_MODULES:
            raise UserError("refused: modules within modules without end.")
        attributes[name] = module.state
        dot = f"{name}." if name else ""
        for kind in ("_parameters", "_buffers"):
            for key, value in _dict(module.state.get(kind), name).items():
                if isinstance(value, TensorRef):
                    state[f"{dot}{key}"] = value.tensor().float()
                elif value is not None:
                    raise UserError(f"damaged: {dot}{key} is no tensor.")
        waiting += [(f"{dot}{key}", m, depth + 1) for key, m in _dict(module.state.get("_modules"), name).items() if m]
    return state, attributes


def mapping_options(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Read off the first layer of the mapping network."""
    first = attributes.get("mapping.fc0", {})
    return {
        "mapping_activation": _text(first.get("activation"), "lrelu"),
        "mapping_lr_multiplier": _number(first.get("bias_gain"), 0.01),
    }


def stylegan2_options(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Read off the blocks of the synthesis network."""
    blocks = [attributes[name] for name in attributes if name.startswith("synthesis.b") and name.count(".") == 1]
    layers = [attributes[name] for name in attributes if name.startswith("synthesis.b") and name.endswith(".conv1")]
    layer = layers[0] if layers else {}
    return {
        "activation": _text(layer.get("activation"), "lrelu"),
        "architecture": _text(blocks[0].get("architecture"), "skip") if blocks else "skip",
        "conv_clamp": _number(layer.get("conv_clamp"), None),
        "num_fp16_res": sum(block.get("use_fp16") is True for block in blocks),
        "use_noise": layer.get("use_noise", True) is True,
    }


def stylegan3_options(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """From what the network and its layers were made with, and from their attributes."""
    network = attributes.get("synthesis", {})
    layer = next((attributes[name] for name in attributes if name.startswith("synthesis.L0_")), {})
    found: dict[str, Any] = {}
    for source in (_kwargs(layer), layer, _kwargs(attributes.get("", {})), _kwargs(network), network):
        found |= {key: source[key] for key in STYLEGAN3 if key in source}
    return {key: value for key, value in found.items() if isinstance(value, (int, float)) or value is None}


def _kwargs(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kwargs = attributes.get("_init_kwargs")
    if not isinstance(kwargs, dict):
        return {}
    inner = kwargs.get("synthesis_kwargs")
    return {**kwargs, **(inner if isinstance(inner, dict) else {})}


def _dict(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"damaged: the parts of {name or 'the network'} have no names.")
    return value


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) else default


def _number(value: Any, default: float | None) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _training(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """What such files say of their training."""
    told: dict[str, Any] = {}
    data = tree.get("training_set_kwargs")
    if isinstance(data, dict) and isinstance(data.get("max_size"), int):
        told["training_images"] = data["max_size"]
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        told["training_set"] = data["path"].replace("\\", "/").rpartition("/")[2][:200]
    if isinstance(tree.get("cur_nimg"), int):
        told["images_seen"] = tree["cur_nimg"]
    return told


def _names(tree: Mapping[Any, Any]) -> str:
    return ", ".join(str(key)[:40] for key in list(tree)[:8] if isinstance(key, str)) or "nothing that has a name"
