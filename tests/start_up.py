"""How long a family takes until its first inversion step, part by part, in seconds of the clock and of the processor.

    python -m tests.start_up father=dad.jpg mother=mum.jpg threads=1

Each part is what came since the one before. Not a test: numbers of docs/performance.md.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Callable
from typing import Any

PARTS: list[tuple[str, float, float]] = []


def now() -> tuple[float, float]:
    """Since the process began: the clock, and the processor, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        began = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - began, used.ru_utime + used.ru_stime


def mark(part: str) -> None:
    PARTS.append((part, *now()))


def after(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which marks its first end."""

    def timed(*arguments: Any, **keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if all(part != known for known, *_ in PARTS):
            mark(part)
        return result

    return timed


def finish(*arguments: Any, **keywords: Any) -> None:
    mark("start, encoder, losses, the first step")
    before = (0.0, 0.0)
    for part, clock, processor in PARTS:
        print(f"{part:42} {clock - before[0]:6.2f} {processor - before[1]:6.2f}")
        before = clock, processor
    print(f"{'together':42} {before[0]:6.2f} {before[1]:6.2f}")
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    from gan_inversion import cli

    mark("Python, Hydra")
    import gan_inversion.commands.family as command
    import gan_inversion.inversion.loop as loop

    mark("torch and our modules")
    cli.build_command = after("the config", cli.build_command)
    command.open_job = after("generator, directions, regions, people", command.open_job)
    command.family.align = after("detectors, alignment", command.family.align)
    loop.Step = finish  # type: ignore[misc, assignment]  # told of after the first scores
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1:] = [*sys.argv[1:], f"output_dir={folder}/out", "store.path=null"]
        cli.run("family")


if __name__ == "__main__":
    main()
