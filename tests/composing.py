"""Hydra composes a command line twice, and tests ask for the same ones again: here each is composed, and each file of
`configs/` parsed, once a process.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig


def once() -> list[tuple[Any, str, Any]]:
    """What is to stand for what: owner, name, replacement."""
    compose, get_mode = ConfigLoaderImpl.load_configuration, Hydra.get_mode
    known: dict[tuple[Any, ...], DictConfig] = {}
    load, files = ConfigRepository.load_config, dict[tuple[Any, ...], Any]()

    def load_once(self: ConfigRepository, config_path: str) -> Any:
        key = (config_path, *(source.full_path() for source in self.get_sources()))
        if key not in files:
            files[key] = load(self, config_path)
        return copy.deepcopy(files[key])

    def compose_once(
        self: ConfigLoaderImpl, config_name: str, overrides: list[str], *more: Any, **named: Any
    ) -> DictConfig:
        places = str(self.config_search_path)
        key = (config_name, *overrides, places, Path.cwd(), *map(str, more), *map(str, sorted(named.items())))
        if key not in known:
            if len(known) == 50:
                del known[next(iter(known))]
            known[key] = compose(self, config_name, overrides, *more, **named)
        return copy.deepcopy(known[key])

    def mode(self: Hydra, config_name: str, overrides: list[str]) -> Any:
        asked = any(override.startswith("hydra.mode") for override in overrides)
        return get_mode(self, config_name, overrides) if asked else None

    return [
        (ConfigLoaderImpl, "load_configuration", compose_once),
        (ConfigRepository, "load_config", load_once),
        (Hydra, "get_mode", mode),
    ]
