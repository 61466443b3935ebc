"""The five lines of notebooks."""

from __future__ import annotations

import pytest
import torch

from gan_inversion import api
from gan_inversion.blending.recipes import Blend
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from tests.conftest import latents


def test_a_child_by_weight_or_by_recipe(generator: Tiny) -> None:
    father, mother = (Inversion(latents(generator, seed), generator.sha256) for seed in (1, 2))
    even = api.blend(generator, father, mother)
    assert even.shape == (1, 3, 64, 64)
    assert torch.equal(even, api.blend(generator, father, mother, 0.5))
    assert torch.equal(even, api.blend(generator, father, mother, recipe=Blend(0.5)))
    own = api.blend(generator, father, mother, weight=0.0)
    assert torch.equal(own, api.blend(generator, father, mother, recipe=Blend(0.0)))
    assert not torch.equal(own, even)
    with pytest.raises(UserError, match=r"weight=0.0 beside a recipe"):
        api.blend(generator, father, mother, weight=0.0, recipe=Blend(0.5))
