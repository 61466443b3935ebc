"""What makes a `main(config)` a command: `--help`, file names that need quoting, errors that a person can read."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import UserError, suggestion
from .settings import CONFIGS, SCHEMAS, checked

FAILED: list[int] = []  # exit codes of a sweep's jobs


def script(name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Make `main(config)` a command: Hydra composes `configs/NAME.yaml` and the command line into `config`."""

    def wrap(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(main)
        def command() -> None:
            if {"-h", "--help"} & set(sys.argv[1:]):
                print(help_text(name))
                return
            FAILED.clear()
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and leave without a traceback
            store = ConfigStore.instance()
            store.store(name="schema", node=SCHEMAS[name])
            sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
            try:
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(_prepared(main, name))()
            except (HydraException, OmegaConfBaseException) as error:
                _fail(readable(error, name), 2)
            except KeyboardInterrupt as error:
                _fail(": ".join(["interrupted", *map(str, error.args)]), 130)
            if FAILED:
                sys.exit(max(FAILED))

        return command

    return wrap


def quoted(argument: str) -> str:
    """KEY=VALUE with quotes where Hydra's grammar needs them: file names have spaces, brackets, accents, apostrophes."""
    key, equals, value = argument.partition("=")
    if not equals or argument.startswith("-"):
        return argument
    try:
        OverridesParser.create().parse_override(argument)
        return argument
    except HydraException:
        pass
    if value.startswith("[") and value.endswith("]"):
        return f"{key}=[{','.join(_quote(item.strip()) for item in value[1:-1].split(','))}]"
    return f"{key}={_quote(value)}"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _prepared(main: Callable[[DictConfig], None], name: str) -> Callable[[DictConfig], None]:
    @functools.wraps(main)
    def run(config: DictConfig) -> None:
        try:
            checked(config, name)
            main(config)
            sys.stdout.flush()
        except UserError as error:  # here already: Hydra would print its own lines around it
            if not _in_a_sweep():
                _fail(str(error), 1)
            print(f"error: {error}", file=sys.stderr)
            FAILED.append(1)
        except BrokenPipeError:  # `| head` has read enough; what is left would be written when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)  # as of a program that SIGPIPE ended

    return run


def _in_a_sweep() -> bool:
    """Whether other jobs follow in this process, which one job's failure must not keep from being done."""
    hydra_config = HydraConfig.get()
    return hydra_config.mode == RunMode.MULTIRUN and hydra_config.launcher._target_.endswith("BasicLauncher")


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def readable(error: Exception, name: str) -> str:
    """Hydra's message, shortened, with the key that was probably meant."""
    while error.__cause__ is not None and isinstance(error.__cause__, (HydraException, OmegaConfBaseException)):
        error = error.__cause__
    text = str(error).strip()
    found = re.search(r"Key '([\w.]+)' (?:is )?not in|Could not override '([\w.@/]+)'", text)
    option = re.search(r"Could not (?:find|load) '(hydra/\w+|\w+)/+([^']+)'", text)
    if option:
        options = [path.stem for path in (CONFIGS / option[1]).glob("*.yaml")]
        known = suggestion(option[2], options) if options else " Is its package installed?"
        return f"{option[1]}={option[2]}: no such option.{known}"
    if found:
        key = (re.search(r"full_key: ([\w.]+)", text) or [None, found[1] or found[2]])[1]
        return f"unknown key {key}.{suggestion(str(key), _all_keys(name))}"
    where = re.search(r"full_key: ([\w.]+)", text)
    if where and "is not a ListConfig" in text:
        return f"{where[1]}: a list is needed: {where[1]}=[A,B], or {where[1]}=[A] for one."
    first = text.splitlines()[0] if text else type(error).__name__
    return f"{where[1]}: {first}" if where else first


def _all_keys(name: str) -> list[str]:
    """Keys of the composed default config, groups and their keys included."""
    with (
        hydra.initialize_config_dir(str(CONFIGS), version_base="1.3")
        if not _initialised()
        else contextlib.nullcontext()
    ):
        composed = hydra.compose(name)
    keys: list[str] = []

    def walk(node: Any, path: str) -> None:
        for key in node:
            keys.append(f"{path}{key}")
            if OmegaConf.is_dict(node) and not OmegaConf.is_missing(node, key) and OmegaConf.is_dict(node[key]):
                walk(node[key], f"{path}{key}.")

    walk(composed, "")
    return keys + [group.name for group in CONFIGS.iterdir() if group.is_dir()]


def _initialised() -> bool:
    return GlobalHydra.instance().is_initialized()


def help_text(name: str) -> str:
    """The script's config file with its comments, then each group's options and keys with theirs."""
    text = (CONFIGS / f"{name}.yaml").read_text()
    shown = text.split("\nhydra:")[0]  # where Hydra itself writes is nobody's choice
    hidden = ("- schema", "- _self_", "- override hydra/job_logging: stdout")
    lines = [line for line in shown.splitlines() if line.strip() not in hidden]
    if not any(line.strip().startswith("- ") for line in lines):
        lines.remove("defaults:")
    groups = [next(iter(entry)) for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]
    if groups:
        lines += ["", "Options of each group: choose with GROUP=OPTION, set a key with GROUP.KEY=VALUE"]
    for group in groups:
        for path in sorted((CONFIGS / group).glob("*.yaml")):
            lines += ["", f"{group}={path.stem}"]
            lines += [f"  {line}" for line in path.read_text().splitlines() if not line.startswith(("# @", "_target_"))]
    return "\n".join(lines)
