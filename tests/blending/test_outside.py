"""Parents whose latents lie where the generator draws nobody are told of."""

from __future__ import annotations

import dataclasses

import pytest

from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion
from tests.composed import command_of, tiny_config
from tests.conftest import CHILD, latents


def test_a_parent_outside_is_told_with_the_remedy(generator: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    """Not one whom the generator drew."""
    conceive = command_of(tiny_config(*CHILD, "diversity=1")).conception(generator)
    father, mother = (Inversion(latents(generator, seed), generator.sha256) for seed in (1, 2))
    conceive(father, mother, generator, list)
    assert "outside" not in caplog.text
    mean = generator.statistics().mean
    conceive(dataclasses.replace(father, ws=mean + 9 * (father.ws - mean)), mother, generator, list)
    (said,) = [record.getMessage() for record in caplog.records if "outside" in record.getMessage()]
    assert said.startswith("the father's latents") and "space=p space.reach=3" in said
