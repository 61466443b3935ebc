"""What runners do and are given: a job, its items as they become ready, and what became of each."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn, Protocol

import torch

from ..errors import UserError
from ..interfaces import OnStep


class Job:
    """One kind of work, done by whoever holds it. Picklable: a worker builds what it needs itself, once.

    `prepare` and `finish` use no network: a runner may read and align the next items, and write the last ones, while it
    computes.
    """

    @property
    def together(self) -> int:
        """Items that are worth doing side by side, as far as memory allows."""
        return 2

    def prepare(self, item: Any) -> Any:
        """Read what the item names."""
        return item

    def __call__(self, items: Sequence[Any], on_step: OnStep) -> Sequence[Any]:
        """A result for each prepared item, in order."""
        raise AssertionError("each job has its own")

    def finish(self, result: Any) -> Any:
        """Write it; what is returned is kept."""
        return result


class Work(Protocol):
    """Items drawn as there is room for them, so that a list of any length needs no memory."""

    def take(self, most: int) -> Sequence[tuple[int, Any]]:
        """Up to `most` (number, item) to be done side by side. Empty: none until another result is kept, or none at all."""

    def keep(self, number: int, result: Any) -> None:
        """The item's result, or the UserError that is instead of it."""


class Listed:
    """A list of items, all ready."""

    def __init__(self, items: Iterable[Any], keep: Callable[[int, Any], None]) -> None:
        self._items = iter(list(enumerate(items)))
        self.keep = keep

    def take(self, most: int) -> Sequence[tuple[int, Any]]:
        return list(islice(self._items, most))


class Runner(Protocol):
    """Who does the work. All have the same results to the bit, on the same kind of machine."""

    def run(self, job: Job, work: Work, on_step: OnStep) -> None:
        """Do all of `work`, handing in each result as it is finished.

        An item that fails is kept as its UserError, and the others go on; so is one whose workers died again and again.
        A mistake in the job's code, which is any other error, is raised as it is, not tried again, and ends the run.
        After Ctrl-C what is under way is handed in as it is, and nothing else is begun.
        """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out: torch has a class for it on accelerators, and only a text on CPUs."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in ("DefaultCPUAllocator", "out of memory", "not enough memory")
    )


def out_of_memory(name: str) -> UserError:
    return UserError(f"{name}: out of memory, even alone. Close other programs, or use a smaller generator.")


def name_of(item: Any) -> str:
    """What messages call an item."""
    first = item[0] if isinstance(item, tuple) else item
    return str(getattr(first, "name", first))


def died(item: Any, times: int, how: str) -> UserError:
    return UserError(f"{name_of(item)}: its worker died {times} times ({how}).")


class Elsewhere(Exception):  # noqa: N818 (what is beneath an error, and none by itself)
    """The traceback of an error that was raised in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Mistake:
    """An error in a job's own code, on its way to the process that started the run. It is not the item's failure."""

    error: Exception
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Mistake:
        """Errors that cannot travel are told in words."""
        trace = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return cls(error.with_traceback(None), trace)

    def again(self) -> NoReturn:
        """Raise it here, above the traceback of where it was made."""
        raise self.error from Elsewhere(self.trace)


def do_alone(job: Job, item: Any, on_step: OnStep) -> Any:
    """One item from beginning to end, as workers do it: its result, the UserError instead, or the mistake in the job."""

    def do() -> Any:
        (result,) = job([job.prepare(item)], on_step)
        return job.finish(result)

    try:
        return outcome(do, item)
    except Exception as error:
        return Mistake.of(error)


def outcome(function: Callable[[], Any], item: Any) -> Any:
    """What is done with one item: the result, or the UserError that is instead of it, also where memory ran out."""
    try:
        return function()
    except UserError as error:
        return error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return out_of_memory(name_of(item))
