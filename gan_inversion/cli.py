"""The command line: composes a command's config, checks it, builds the command and runs it. The only user of Hydra."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .commands import COMMANDS, PLACES
from .errors import UserError, suggestion

_PACKAGE = Path(__file__).resolve().parent
CONFIGS = next(  # of the clone, or of an installed package
    (place for place in (_PACKAGE.parent / "configs", _PACKAGE / "configs") if (place / "family.yaml").is_file()),
    _PACKAGE / "configs",
)
OLD_NAMES = (  # understood for one version: where an argument has it, what it is called now
    (r"^([+~]*(?:losses|metrics)\b.*)\b(row_distance)\b", "delta_norm"),
    (r"^([+~]*recipes\b.*\b(?:losses|metrics)(?:\.|=\[[^]]*|=\{[^}]*))\b(row_distance)\b", "delta_norm"),
    (r"^([+~]*(?:recipes\b.*[^\w.])?)(runner\.batch)(?==|$)", "runner.batch_size"),
    (r"^(\+*(?:recipes\b.*[^\w.])?runner=\{(?:[^}]*,)?\s*)(batch)(?=\s*:)", "batch_size"),
    (r"^(aligner=(?:\w+,)*)(none)(?=,|$)", "prealigned"),
)
WIDTH = 100  # characters of the overview
FAILED: list[int] = []  # exit codes of a sweep's jobs


def main() -> None:
    """`gan_inversion COMMAND KEY=VALUE ...`, also as `python -m gan_inversion`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(overview())
        return
    if name not in PLACES:
        _fail(f"no command called {name}.{suggestion(name, PLACES)}", 2)
    del sys.argv[1]
    run(name)


def run(name: str) -> None:
    """A command with the arguments that this process was given. Leaves with 1 for what a person can put right, with 2 for
    arguments that nothing can be composed of, with 130 after Ctrl-C."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(name))
        return
    FAILED.clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and leave without a traceback
    sweep = bool({"-m", "--multirun"} & {*sys.argv[1:]})
    known = [*_body(name), *_groups(name)]
    sys.argv[1:] = [quoted(argument, sweep, known) for argument in renamed(sys.argv[1:])]

    def called(config: DictConfig) -> None:
        try:
            execute(name, config)
            sys.stdout.flush()
        except UserError as error:  # here already: Hydra would print its own lines around it
            if not _in_a_sweep():
                _fail(str(error), 1)
            print(f"error: {error}", file=sys.stderr)
            FAILED.append(1)
        except BrokenPipeError:  # `| head` has read enough; what is left would be written when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)  # as of a program that SIGPIPE ended

    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(called)()
    except (HydraException, OmegaConfBaseException) as error:
        _fail(readable(error, name), 2)
    except KeyboardInterrupt as error:
        _fail(": ".join(["interrupted", *map(str, error.args)]), 130)
    if FAILED:
        sys.exit(max(FAILED))


def execute(name: str, config: DictConfig) -> None:
    """Check a composed config, build the command of it, and run that. Raises UserError."""
    typed = HydraConfig.get().overrides.task
    logging.captureWarnings(True)
    perform(name, own_keys(name, config, typed), typed)


def perform(name: str, config: DictConfig, typed: Sequence[str]) -> Any:
    """Run the command of a config that has its own keys alone; returns it. Raises UserError."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} must be given: {missing[0]}=... (--help explains each key)")
    command = build_command(name, config, typed)
    command.run(_invocation(name, config, typed))
    return command


def call(name: str, arguments: Sequence[str]) -> Any:
    """Run a command in this process as its command line would, with the same bits; returns it, with its keys as fields.

    The process keeps the threads and the determinism of the command line; its umask is as before. Raises UserError.
    """
    typed = typed_as(name, arguments)
    mask = os.umask(0o077)
    os.umask(mask)  # only setting it tells what it was
    try:
        return perform(name, OmegaConf.create(compose(name, typed)), typed)
    finally:
        os.umask(mask)


def typed_as(name: str, arguments: Sequence[str]) -> list[str]:
    """Arguments of a command, KEY=VALUE, as Hydra's grammar wants them."""
    known = [*_body(name), *_groups(name)]
    return [quoted(argument, False, known) for argument in renamed(arguments)]


def own_keys(name: str, config: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The config without keys that an experiment sets for commands with more groups. Raises UserError for those typed."""
    known = [*_body(name), *_groups(name)]
    for pair in typed:  # +key=..., which nothing composes away
        key = pair.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
        if key not in known:
            raise UserError(f"unknown key {key}.{suggestion(key, _all_keys(name))}")
    config = other_choices(name, config, typed)
    return OmegaConf.masked_copy(config, [key for key in config if key in known])


def other_choices(name: str, config: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The config without an experiment's settings for options that somebody typed others of: start.reach is the encoder's.

    Such a group is as if the experiment had not spoken of it; what was typed of it stays.
    """
    said = {key.lstrip("+~"): value for key, _, value in (pair.partition("=") for pair in typed)}
    file = CONFIGS / "experiment" / f"{said.get('experiment')}.yaml"
    if not file.is_file():
        return config
    values, meant = plain(config, resolve=False), {**_choices(CONFIGS / f"{name}.yaml"), **_choices(file)}
    for group, settings in yaml.safe_load(file.read_text()).items():
        if group == "defaults" or said.get(group, meant.get(group)) == meant.get(group):
            continue
        option = CONFIGS / group / f"{said[group]}.yaml"
        own = yaml.safe_load(option.read_text()) if option.is_file() else {}
        node = values.get(group, {})
        for key in settings:
            typed_here = [one for one in said if f"{one}.".startswith(f"{group}.{key}.")]
            if group == "losses":  # those that are chosen keep what is said of them
                if "_target_" not in node[key]:
                    del node[key]
                    if typed_here:
                        raise UserError(f"unknown key {typed_here[0]}: losses={said[group]} leaves it out.")
            elif not typed_here:
                node[key] = own.get(key)
                if key not in own:
                    del node[key]
        if not node:
            values.pop(group, None)
    return OmegaConf.create(values)


def build_command(name: str, config: DictConfig, typed: Sequence[str]) -> Any:
    """The command, with its groups built, and this process set as it says. `typed`: the overrides, KEY=VALUE."""
    from .components import construct  # here: --help need not wait for torch
    from .runtime import check_device, configure

    command = construct(class_of(name), plain(config), "", said_of(typed))
    if hasattr(command, "threads"):
        configure(command.threads)
    if getattr(command, "private", False):
        os.umask(0o077)  # photographs of people, and what is made of them; workers inherit it
    if hasattr(command, "device"):
        check_device(command.device, _remedy(command))
    return command


def said_of(typed: Sequence[str]) -> dict[str, str]:
    """Key -> what was typed for it, also of each in a list: KEY[0]. A name that looks like a number is still a name."""
    said = dict(pair.lstrip("+~").split("=", 1) for pair in typed if "=" in pair)
    for key, value in [*said.items()]:
        if value.startswith("[") and value.endswith("]"):
            said |= {f"{key}[{i}]": item for i, item in enumerate(_items(value[1:-1]))}
    return said


def _remedy(command: Any) -> str:
    """What to do where the device is not: with Ray its workers may have one, but this process draws and names results."""
    if getattr(getattr(command, "runner", None), "name", "") != "ray":
        return "Use device=cpu."
    return (
        "The command itself needs it too, not only Ray's workers: start it on a machine that has it, or use device=cpu."
    )


def class_of(name: str) -> Any:
    module, _, kind = PLACES[name].rpartition(".")
    return getattr(import_module(f".{module}", f"{__package__}.commands"), kind)


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The composed config as plain dicts and lists."""
    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _invocation(name: str, config: DictConfig, typed: Sequence[str]) -> Any:
    from .commands.common import Invocation

    texts = {".hydra/config.yaml": OmegaConf.to_yaml(config), ".hydra/overrides.yaml": OmegaConf.to_yaml([*typed])}
    keys = tuple(one.lstrip("+~").partition("=")[0] for one in typed)
    return Invocation(name, keys, texts, compose)


def compose(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The config of a command, as its own command line would make it. Raises UserError for overrides that do not fit."""
    try:
        if GlobalHydra.instance().is_initialized():
            return plain(own_keys(name, hydra.compose(name, [*overrides]), overrides))
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return plain(own_keys(name, hydra.compose(name, [*overrides]), overrides))
    except HydraException as error:
        raise UserError(f"{list(overrides)}: {readable(error, name)}") from error


def renamed(arguments: Sequence[str]) -> list[str]:
    """The arguments with the names of today; each old one is told of once, on stderr."""
    found, told = [*arguments], dict[str, str]()
    for pattern, new in OLD_NAMES:
        for i, argument in enumerate(found):
            while match := re.search(pattern, argument):
                told[match[2]] = new
                argument = argument[: match.start(2)] + new + argument[match.end(2) :]
            found[i] = argument
    for old, new in told.items():
        print(f"{old} is called {new} now", file=sys.stderr)
    return found


def quoted(argument: str, sweep: bool = True, known: Sequence[str] = ()) -> str:
    """KEY=VALUE with quotes where Hydra's grammar needs them: file names have spaces, brackets, accents, apostrophes.

    KEY={NAME: VALUE} adds to the names that are there, as a person means it: Hydra wants a + for new ones.
    sweep: whether values may be several, A,B. known: keys that ${KEY} may stand for; any other is part of a name.
    """
    key, equals, value = argument.partition("=")
    if not equals or argument.startswith("-"):
        return argument
    if value.startswith("{") and value.endswith("}") and not key.startswith("+"):
        return quoted(f"+{argument}")
    if re.fullmatch(r"(\w+\.)*steps\.[\w-]+|edit\.\w+", key):  # names that no config has
        return quoted(f"++{argument}", sweep)
    if _is_quoted(value):
        return argument
    told = _DOLLARS.sub(lambda found: found[0] if _is_key(found[1], known) else f"\\{found[0]}", value)
    try:
        several = OverridesParser.create().parse_override(argument).is_sweep_override() and not sweep
        several = several and re.fullmatch(r"[-+0-9.,]+", value) is None  # numbers were meant one after the other
        if not (several and ("." in key or key not in GROUPS)) and told == value == value.strip():
            return argument
    except HydraException:
        pass
    if value.startswith("[") and value.endswith("]"):
        made = f"[{','.join(item if _is_quoted(item) else _quote(item) for item in _items(value[1:-1]))}]"
    else:
        made = _quote(value)
    return f"{key}={_DOLLARS.sub(lambda found: found[0] if _is_key(found[1], known) else chr(92) + found[0], made)}"


BRACKETS = (("[", "]"), ("{", "}"), ("(", ")"))
_DOLLARS = re.compile(r"(?<!\\)\$\{([^{}]*)\}?")
GROUPS = {path.name for path in CONFIGS.iterdir() if path.is_dir()} if CONFIGS.is_dir() else set()


def _is_key(text: str, known: Sequence[str]) -> bool:
    """Whether ${text} is one of Hydra's or OmegaConf's, or a key of the command."""
    return text.startswith(("hydra:", "oc.", "now:")) or text.partition(".")[0] in known


def _items(text: str) -> list[str]:
    """What stands between the commas of a list; a comma in quotes or in brackets of its own is none of the list's."""
    items = list[str]()
    for piece in text.split(","):
        if items and _goes_on(items[-1]):
            items[-1] += f",{piece}"
        else:
            items.append(piece)
    if _goes_on(items[-1]):  # an apostrophe or a bracket in a name
        items = text.split(",")
    return [item.strip() for item in items]


def _goes_on(item: str) -> bool:
    """Whether what an item has begun, by a quote or a bracket, is not ended yet."""
    item = item.strip()
    return not _is_quoted(item) if item[:1] in ("'", '"') else any(item.count(a) > item.count(b) for a, b in BRACKETS)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
    chosen = re.search(r"In 'experiment/(\w+)': Could not override", text)
    if chosen:
        lacking = ", ".join(group for group in _chosen_by(chosen[1]) if group not in _groups(name))
        return f"experiment={chosen[1]} chooses {lacking}, which {name} has not: it is for {_list_of_users(chosen[1])}."
    found = re.search(r"Key '([\w.]+)' (?:is )?not in|Could not override '([\w.@/]+)'", text)
    option = re.search(r"Could not (?:find|load) '(hydra/\w+|\w+)/+([^']+)'", text)
    if option:
        options = [path.stem for path in _options(name, option[1])] if "/" not in option[1] else []
        known = suggestion(option[2], options) if options else " Is its package installed?"
        return f"{option[1]}={option[2]}: no such option.{known}"
    if found:
        key = (re.search(r"full_key: ([\w.]+)", text) or [None, found[1] or found[2]])[1]
        about = getattr(class_of(name), "ABOUT", "")  # what a command says of its keys beside their names
        return f"unknown key {key}.{suggestion(str(key), _all_keys(name))}{about}"
    where = re.search(r"full_key: ([\w.]+)", text)
    several = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", text)
    if several:
        return (
            f"{several[1]}={several[2]}: write {several[1]}=[{several[2]}] for a list, {several[1]}=\"'{several[2]}'\" "
            "for a name with a comma; to do one after the other, add --multirun."
        )
    if where and "is not a ListConfig" in text:
        return f"{where[1]}: a list is needed: {where[1]}=[A,B], or {where[1]}=[A] for one."
    first = text.splitlines()[0] if text else type(error).__name__
    return f"{where[1]}: {first}" if where else first


def _all_keys(name: str) -> list[str]:
    """Keys of the composed default config, groups and their keys included."""
    keys: list[str] = []

    def walk(node: Any, path: str) -> None:
        for key, value in node.items():
            keys.append(f"{path}{key}")
            if isinstance(value, dict):
                walk(value, f"{path}{key}.")

    walk(compose(name, [f"{key}=null" for key, value in _body(name).items() if value == "???"]), "")
    return keys + _groups(name)


def _body(name: str) -> dict[str, Any]:
    """Keys that stand in the command's config itself."""
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return {key: value for key, value in values.items() if key not in ("defaults", "hydra")}


def _groups(name: str) -> list[str]:
    """Groups that the command's config chooses from."""
    defaults = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["defaults"]
    return [
        next(iter(entry)) for entry in defaults if isinstance(entry, dict) and not next(iter(entry)).startswith("over")
    ]


def _options(name: str, group: str) -> list[Path]:
    """Files of a group's options, without experiments that choose what the command has not."""
    paths = sorted((CONFIGS / group).glob("*.yaml"))
    return [path for path in paths if group != "experiment" or {*_chosen_by(path.stem)} <= {*_groups(name)}]


def _chosen_by(experiment: str) -> list[str]:
    """Groups of which an experiment chooses an option."""
    return [*_choices(CONFIGS / "experiment" / f"{experiment}.yaml")]


def _choices(file: Path) -> dict[str, Any]:
    """Group -> option, as a config's defaults choose them."""
    entries = yaml.safe_load(file.read_text())["defaults"]
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {group.removeprefix("override /"): option for group, option in pairs}


def _list_of_users(experiment: str) -> str:
    """Commands that have all of these groups."""
    return ", ".join(name for name in PLACES if {"experiment", *_chosen_by(experiment)} <= {*_groups(name)})


def overview() -> str:
    """All commands in groups, with the first line of what each config says of it."""
    lines = ["gan_inversion COMMAND KEY=VALUE ...     gan_inversion COMMAND --help explains every key", ""]
    for heading, commands in COMMANDS.items():
        lines.append(f"{heading}:")
        for name in commands:
            first = (CONFIGS / f"{name}.yaml").read_text().splitlines()[0].removeprefix("# ")
            lines.append(f"  {name:20} {shortened(first, WIDTH - 23)}")
        lines.append("")
    return "\n".join(lines).rstrip()


def shortened(sentence: str, width: int) -> str:
    """The sentence, up to the last full stop, colon or semicolon that fits into `width`, or else the last comma."""
    if len(sentence) <= width:
        return sentence
    for marks in (r"[.:;] ", ", "):
        ends = [found.start() for found in re.finditer(marks, sentence) if found.start() < width]
        if ends:
            return f"{sentence[: ends[-1]]}."
    return f"{sentence[: width - 3]}..."


def help_text(name: str) -> str:
    """The script's config file with its comments, then each group's options and keys with theirs."""
    text = (CONFIGS / f"{name}.yaml").read_text()
    shown = text.split("\nhydra:")[0]  # where Hydra itself writes is nobody's choice
    hidden = ("- _self_", "- override hydra/job_logging: stdout")
    lines = [line for line in shown.splitlines() if line.strip() not in hidden and not line.startswith("  _target_")]
    if not any(line.strip().startswith("- ") for line in lines):
        lines.remove("defaults:")
    groups = _groups(name)
    if groups:
        lines += ["", "Options of each group: choose with GROUP=OPTION, set a key with GROUP.KEY=VALUE"]
    for group in groups:
        for path in _options(name, group):
            lines += ["", f"{group}={path.stem}"]
            lines += [f"  {line}" for line in path.read_text().splitlines() if not line.startswith(("# @", "_target_"))]
    return "\n".join(lines)
