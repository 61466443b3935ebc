"""Pages of the manual that are written from the code: every key, every public name, the rooms.

python -m tests.manual.reference     (make reference)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, wrap

import yaml

import gan_inversion as gi
from gan_inversion.cli import CONFIGS
from gan_inversion.commands import COMMANDS
from tests.conftest import ROOT
from tests.manual import architecture

PACKAGE = ROOT / "gan_inversion"
RETURNED = {"results": ["Picture", "Run"], "editing/edits": ["Edited"]}
DATA = ["AlignedFace", "Inversion", "Latents", "FaceLabels", "WStatistics", "Step", "Trial", "Target"]
ROLES = ["Generator", "GeneratorSource", "Aligner", "LatentSpace", "Start", "Loss", "Refinement", "Blend"]
NOTE = "<!-- Written by `make reference`: change the code, not this page. -->\n"


# ------------------------------------------------------------------ every key


def keys() -> str:
    """Commands with their groups and keys, then the options of each group with theirs, all from configs/."""
    lines = [
        "# Every key",
        "",
        NOTE,
        "`gan_inversion COMMAND --help` prints the same. A key is set by `KEY=VALUE`, an option chosen by `GROUP=OPTION`,",
        "a key of the chosen option set by `GROUP.KEY=VALUE`. A default of `???` must be given.",
        "",
        "## Commands",
    ]
    for heading, commands in COMMANDS.items():
        lines += ["", f"**{heading}**: " + ", ".join(f"[{name}](#{name})" for name in commands)]
    for name in (name for commands in COMMANDS.values() for name in commands):
        lines += ["", f"### {name}", *config(CONFIGS / f"{name}.yaml")]
    for group in sorted(path for path in CONFIGS.iterdir() if path.is_dir() and path.name != "experiment"):
        lines += ["", f"## Group {group.name}"]
        for path in sorted(group.glob("*.yaml")):
            lines += ["", f"### {group.name}={path.stem}", *config(path)]
    lines += ["", "## Experiments", "", "Each sets keys of others: `experiment=NAME`.", ""]
    lines += ["| experiment | what | sets |", "|---|---|---|"]
    for path in sorted((CONFIGS / "experiment").glob("*.yaml")):
        said = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ") and "@package" not in line]
        lines.append(f"| `{path.stem}` | {cell(' '.join(said))} | {cell(', '.join(settings(path)))} |")
    return "\n".join(lines) + "\n"


def config(path: Path) -> list[str]:
    """What a config says of itself, the groups it chooses from, and its keys as a table."""
    text = path.read_text()
    values = yaml.safe_load(text)
    head = [line[1:].removeprefix(" ") for line in text.split("\n_target_")[0].split("\ndefaults:")[0].splitlines()]
    head = [line for line in head if not line.startswith("@package")]
    calls = [line.strip() for line in head if line.startswith(" ")]
    lines = ["", " ".join(line for line in head if not line.startswith(" "))]
    if calls:
        lines += ["", "```", *calls, "```"]
    entries = [entry for entry in values.get("defaults", []) if isinstance(entry, dict)]
    chosen = [pair for entry in entries for pair in entry.items() if not pair[0].startswith("override")]
    if chosen:
        told = [f"[`{group}={flow(option)}`](#{anchor(group)})" for group, option in chosen]
        lines += ["", "Groups: " + ", ".join(told) + "."]
    rows = list(table(text, values))
    if rows:
        lines += ["", "| key | default | meaning |", "|---|---|---|", *rows]
    return lines


def anchor(group: str) -> str:
    return "experiments" if group == "experiment" else f"group-{group}"


def table(text: str, values: dict[str, object]) -> Iterator[str]:
    for key, value in values.items():
        if key in ("defaults", "hydra", "_target_"):
            continue
        found = re.search(rf"^{re.escape(key)}:[^#\n]*?(?:\S.*?)??\s+# (.*)$", text, re.MULTILINE)
        assert found, f"{key} is not explained"
        if isinstance(value, dict):
            value = {inner: one for inner, one in value.items() if inner != "_target_"}
        yield f"| `{key}` | `{cell(flow(value))}` | {cell(found[1])} |"


def settings(path: Path) -> Iterator[str]:
    """GROUP=OPTION and GROUP.KEY=VALUE of an experiment."""
    for key, value in yaml.safe_load(path.read_text()).items():
        if key == "defaults":
            for entry in (entry for entry in value if isinstance(entry, dict)):
                yield from (f"`{group.removeprefix('override /')}={flow(one)}`" for group, one in entry.items())
        elif isinstance(value, dict):
            yield from (f"`{name}={flow(one)}`" for name, one in leaves(key, value))
        else:
            yield f"`{key}={flow(value)}`"


def leaves(path: str, node: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(f"{path}.{key}", value)
        else:
            yield f"{path}.{key}", value


def flow(value: object) -> str:
    """As it would be typed."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return text.removesuffix("...").strip()


def cell(text: str) -> str:
    return text.replace("|", "\\|")


# ------------------------------------------------------------------ every public name


def python() -> str:
    """Functions of the package, what they return, and the types that they speak of, from their source."""
    lines = [
        "# Python",
        "",
        NOTE,
        "`import gan_inversion as gi` brings the functions; nothing is loaded before.",
    ]
    api = ast.parse((PACKAGE / "api.py").read_text())
    introduction = [one.replace("**", r"\*\*") for one in (ast.get_docstring(api) or "").split("\n\n")[1:]]
    lines += ["", *introduction, "", "## Functions"]
    functions = {node.name: node for node in api.body if isinstance(node, ast.FunctionDef)}
    assert set(gi.__all__) <= set(functions)
    for name, node in functions.items():
        if name in gi.__all__:
            lines += ["", f"### gi.{name}", *described(node)]
    lines += ["", "## What they return"]
    for module, names in RETURNED.items():
        lines += classes(module, names)
    lines += [
        "",
        "## Data",
        "",
        "Of `gan_inversion.interfaces`: N faces, L rows of W+, D = w_dim, R pixels.",
    ]
    lines += classes("interfaces", DATA)
    lines += [
        "",
        "## Roles",
        "",
        "What a new module fulfils: [Contributing](../../CONTRIBUTING.md).",
    ]
    lines += classes("interfaces", ROLES)
    lines += ["", "## Errors"]
    return "\n".join([*lines, *classes("errors", ["UserError"])]) + "\n"


def classes(module: str, names: list[str]) -> list[str]:
    """A class: its docstring, its fields as they stand in the source with their comments, its methods."""
    text = (PACKAGE / f"{module}.py").read_text()
    nodes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    lines = []
    for name in names:
        node = nodes[name]
        lines += ["", f"### {name}", "", *prose(node)]
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        if fields:
            source = text.splitlines()[fields[0].lineno - 1 : fields[-1].end_lineno]
            lines += ["", "```python", *dedent("\n".join(source)).splitlines(), "```"]
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and (not one.name.startswith("_") or one.name == "__call__"):
                lines += described(one)
    return lines


def described(node: ast.FunctionDef) -> list[str]:
    """Its signature, as code, and its docstring."""
    kinds = [ast.unparse(one) for one in node.decorator_list]
    mark = ["@property"] if any("property" in kind for kind in kinds) else []
    given = [*arguments(node)]
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{node.name}({', '.join(given)}){back}"
    if len(line) > 110:
        line = "\n".join([f"{node.name}(", *wrapped(given), f"){back}"])
    return ["", "```python", *mark, *line.splitlines(), "```", "", *prose(node)]


def arguments(node: ast.FunctionDef) -> Iterator[str]:
    """Each argument as it is written, without self."""
    found = node.args
    plain = [*found.posonlyargs, *found.args]
    defaults = [None] * (len(plain) - len(found.defaults)) + [*found.defaults]
    for one, value in zip(plain, defaults, strict=True):
        if one.arg != "self":
            yield ast.unparse(one) + (f" = {ast.unparse(value)}" if value else "")
    if found.vararg or found.kwonlyargs:
        yield f"*{ast.unparse(found.vararg) if found.vararg else ''}"
    for one, value in zip(found.kwonlyargs, found.kw_defaults, strict=True):
        yield ast.unparse(one) + (f" = {ast.unparse(value)}" if value else "")
    if found.kwarg:
        yield f"**{ast.unparse(found.kwarg)}"


def wrapped(given: list[str]) -> list[str]:
    return [f"    {one}," for one in given]


def prose(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    text = ast.get_docstring(node) or ""
    return "\n\n".join("\n".join(wrap(part, 116)) for part in text.split("\n\n")).splitlines()


WRITTEN = {"reference/keys.md": keys, "reference/python.md": python, "architecture.svg": architecture.svg}

if __name__ == "__main__":
    for place, written in WRITTEN.items():
        (ROOT / "docs" / place).write_text(written())
