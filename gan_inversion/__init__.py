"""GAN inversion and face blending: two photographs in, a child's face out, repeatable to the bit.

import gan_inversion as gi

generator = gi.load_generator()
inversions = gi.invert(generator, [gi.load_face("dad.jpg"), gi.load_face("mum.jpg")])
gi.save(gi.blend(generator, *inversions), "child.png")
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["atlas", "blend", "children", "draw", "edit", "family", "interpolate", "invert", "load_face", "load_generator",
           "paste_back", "picture", "run", "save"]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The verbs come from `api` when first used: importing the package alone loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'gan_inversion' has no attribute {name!r}")
    from . import api

    return getattr(api, name)
