"""A mistake in a job's own code is raised as it is by every runner, with its traceback, and is not tried again."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gan_inversion.errors import StorageError, UserError
from gan_inversion.execution.local import Local
from gan_inversion.execution.work import Elsewhere, Job, Listed, Mistake, do_alone
from gan_inversion.interfaces import OnStep


class OddError(Exception):
    """Cannot be pickled: its arguments are not those of its class."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("odd")


MISTAKES: dict[str, Exception] = {
    "type": TypeError("no such argument"),
    "assertion": AssertionError("not reached"),
    "runtime": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    "os": OSError(5, "Input/output error"),
}


@dataclass(frozen=True)
class Wrong(Job):
    """Item 2 meets a mistake, in one of the job's three parts."""

    folder: str
    kind: str
    part: str = "call"

    def _meet(self, item: int, part: str) -> None:
        if item == 2 and part == self.part:
            with open(Path(self.folder) / "met", "a") as file:
                file.write("x")
            raise MISTAKES[self.kind]

    def prepare(self, item: int) -> int:
        self._meet(item, "prepare")
        return item

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[int]:
        for item in items:
            self._meet(item, "call")
        return list(items)

    def finish(self, result: int) -> int:
        self._meet(result, "finish")
        return result


CASES = [(Local(1, batch_size=1), kind, "call") for kind in MISTAKES]
CASES += [(Local(1, batch_size=1), "type", "prepare"), (Local(1, batch_size=1), "os", "finish")]
FAR = [pytest.param(Local(2), "assertion", part, marks=pytest.mark.processes) for part in ("call", "finish")]


@pytest.mark.parametrize(("runner", "kind", "part"), [*CASES, *FAR])
def test_a_mistake_is_raised_as_it_is(tmp_path: Path, runner: Local, kind: str, part: str) -> None:
    done: dict[int, Any] = {}
    mistake = MISTAKES[kind]
    with pytest.raises(type(mistake)) as caught:
        runner.run(Wrong(str(tmp_path), kind, part), Listed([0, 1, 2, 3, 4], done.__setitem__), print)
    assert str(caught.value) == str(mistake)
    told = "".join(traceback.format_exception(caught.value))
    assert "raise MISTAKES[self.kind]" in told
    assert "in _meet" in told
    assert (tmp_path / "met").read_text() == "x"  # tried once
    assert 2 not in done
    if runner.workers == 1:
        assert done.keys() >= {0, 1}  # what was finished is handed in


@dataclass(frozen=True)
class Unsendable(Job):
    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[Any]:
        return [(lambda: 0) for _ in items]


@pytest.mark.processes
def test_a_result_that_cannot_travel_is_a_mistake() -> None:
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="pickle"):
        Local(2).run(Unsendable(), Listed([0], print), print)


def test_mistakes_travel() -> None:
    for error in (TypeError("x"), OddError(1, 2)):
        try:
            raise error
        except Exception as raised:
            mistake = pickle.loads(pickle.dumps(Mistake.of(raised)))
        expected = TypeError if isinstance(error, TypeError) else RuntimeError
        with pytest.raises(expected) as caught:
            mistake.again()
        assert isinstance(caught.value.__cause__, Elsewhere)
        assert "raise error" in str(caught.value.__cause__)
    assert str(caught.value) == "OddError: odd"


@dataclass(frozen=True)
class Raises(Job):
    error: BaseException

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[int]:
        raise self.error


def test_what_is_the_item_s_failure_and_what_is_none() -> None:
    assert str(do_alone(Raises(UserError("a")), 1, print)) == "a"
    assert isinstance(do_alone(Raises(StorageError("a")), 1, print), StorageError)
    for full in (MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")):
        assert "out of memory" in str(do_alone(Raises(full), 1, print))
    assert isinstance(do_alone(Raises(RuntimeError("shapes")), 1, print), Mistake)
    with pytest.raises(KeyboardInterrupt):
        do_alone(Raises(KeyboardInterrupt()), 1, print)
