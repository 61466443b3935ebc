"""Options of a checkpoint, checked and in one spelling: equal networks have equal hashes, whatever file they came from."""

from __future__ import annotations

import math
from typing import Any

from ..checkpoints.checkpoint import Checkpoint
from ..errors import UserError

MAPPING: dict[str, Any] = {"mapping_activation": "lrelu", "mapping_lr_multiplier": 0.01, "label_norm": "each"}
# What shapes do not tell, with the defaults of the families' own code. All other options repeat what the tensors say.
DEFAULTS: dict[str, dict[str, Any]] = {
    "stylegan": {
        "nonlinearity": "lrelu",
        "use_pixel_norm": False,
        "use_instance_norm": True,
        "blur_filter": [1, 2, 1],  # after upsampling, normalised to sum 1; one or two dimensions; None: no blur
        "fused_scale": "auto",  # True, False or "auto": which layers upsample in the convolution
    },
    "stylegan2": {"activation": "lrelu", "conv_clamp": None},
    "stylegan3": {
        "num_critical": 2,
        "first_cutoff": 2.0,
        "first_stopband": 2**2.1,
        "last_stopband_rel": 2**0.3,
        "output_scale": 0.25,
        "lrelu_upsampling": 2,
        "conv_clamp": 256.0,
    },
}
LARGEST, LONGEST = 1e9, 64  # of numbers; of texts and lists


def normalised(checkpoint: Checkpoint, precision: str) -> dict[str, Any]:
    """The options that change a picture. Raises UserError for values that are no finite numbers, words or short lists."""
    given = {key: _checked(key, value) for key, value in checkpoint.options.items()}
    defaults = MAPPING | DEFAULTS[checkpoint.family]
    options = {key: given.get(key, default) for key, default in defaults.items()}
    if checkpoint.family == "stylegan2":
        options["use_noise"] = any(name.endswith(".noise_const") for name in checkpoint.state)
    if checkpoint.family == "stylegan3" and "filter_size" in given:
        options["filter_size"] = given["filter_size"]
    if precision == "original" and checkpoint.family != "stylegan":
        options["num_fp16_res"] = given.get("num_fp16_res", 4 if checkpoint.family == "stylegan3" else 0)
    return options


def _checked(key: str, value: Any, depth: int = 0) -> Any:
    """Whole numbers as int, so that 256 and 256.0 are one."""
    if isinstance(value, list) and len(value) <= LONGEST and depth < 2:
        return [_checked(key, one, depth + 1) for one in value]
    if value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= LONGEST):
        return value
    if isinstance(value, (int, float)) and abs(value) <= LARGEST and math.isfinite(value):
        return int(value) if value == int(value) else float(value)
    raise UserError(f"its option {str(key)[:60]} is neither a number of ordinary size nor a word.")
