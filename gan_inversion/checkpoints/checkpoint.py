"""What every foreign checkpoint becomes before a network is built of it: a family, named tensors, and plain options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

LONGEST_MESSAGE = 600  # characters
FAMILIES = ("stylegan", "stylegan2", "stylegan3")


@dataclass(frozen=True)
class Checkpoint:
    """A generator as it was found in a file, in one spelling whatever the file's format.

    family: one of FAMILIES, the name of the module in `gan_inversion.generators` that builds it.
    state: float32 tensors under the names of NVIDIA's PyTorch code (stylegan2-ada-pytorch, stylegan3), which are
    `mapping.*` and `synthesis.*`; other formats are translated into them.
    options: JSON values that the shapes of the tensors do not tell, such as "conv_clamp".
    facts: JSON values for people, such as "format" and "images_seen"; they change no picture.
    Without "mapping.w_avg" the mean of w is that of samples.
    """

    family: str
    state: Mapping[str, Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def printable(text: str) -> str:
    """What a file says, short, and without anything that could control a terminal."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split())[:LONGEST_MESSAGE])
