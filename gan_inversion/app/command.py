"""The command: its keys, and what must be there before a page can be."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from ..blending.inheritance import Inherit
from ..commands.common import Invocation, at_least
from ..editing.steering import FixedSteps, Steering
from ..errors import UserError
from ..interfaces import Aligner, GeneratorSource, LatentSpace, Loss, Start
from ..inversion.loop import Optimiser
from ..runtime import cores


@dataclass(frozen=True, kw_only=True)
class App:
    generator: GeneratorSource
    aligner: Aligner
    space: LatentSpace
    start: Start
    losses: Mapping[str, Loss] = field(default_factory=dict)
    inversion: Optimiser
    inherit: Inherit
    child: Steering | FixedSteps
    host: str
    names: tuple[str, ...]
    port: int = at_least(0)
    minutes: float = at_least(1)
    megabytes: int = at_least(1)
    visitors: int = at_least(1)
    waiting: int = at_least(0)
    per_minute: int = at_least(1)
    device: str
    threads: int | None = at_least(1)

    def run(self, call: Invocation) -> None:
        """Until Ctrl-C. Raises UserError for what is missing, or an address that cannot be had."""
        if importlib.util.find_spec("gradio") is None:
            raise UserError('the page needs Gradio. Run: pip install "gan_inversion[app]"')
        from .server import serve  # here: nobody else waits for it

        serve(self, self.said(call))

    def said(self, call: Invocation) -> list[str]:
        """What was typed of the groups, for the commands that the page runs."""
        typed: list[str] = yaml.safe_load(call.texts[".hydra/overrides.yaml"]) or []
        own = {
            "host",
            "names",
            "port",
            "minutes",
            "megabytes",
            "visitors",
            "waiting",
            "per_minute",
            "device",
            "threads",
        }
        return [one for one in typed if one.lstrip("+~").partition("=")[0] not in own]

    @property
    def cores(self) -> int:
        """Threads, as the told command lines name them."""
        return self.threads or cores()
