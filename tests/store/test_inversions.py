"""Each face once; one process or several: the same bits; a worker that dies loses nothing."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.execution.local import Local
from gan_inversion.execution.work import Job, Listed
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import Inversion, OnStep, Step
from gan_inversion.inversion.inverter import Inverter
from gan_inversion.metrics.reconstruction import OF_IMAGES
from gan_inversion.store.inversions import Inverted, Task, invert_faces
from gan_inversion.store.store import Record, Store
from tests.conftest import drawn, make_inverter

pytestmark = pytest.mark.usefixtures("loaded_workers")


def build(steps: int = 5) -> Inverter:
    return make_inverter(tiny(), steps=steps, latent_noise=0.2)


TASK = Task(functools.partial(build), ("mse",))


def invert(
    generator: Tiny, store: Store, runner: Local, seeds: Sequence[int] = (0, 1, 2), **task: Any
) -> list[Inverted]:
    steps: list[Step] = []
    faces = [drawn(generator, seed) for seed in seeds]
    results, failed = invert_faces(faces, list(seeds), replace(TASK, **task), runner, store, steps.append)
    assert failed == []
    invert.steps = steps  # type: ignore[attr-defined]
    return results


@pytest.mark.processes
def test_workers_and_batches_change_no_bit(generator: Tiny) -> None:
    none = Store(None)
    base = invert(generator, none, Local(1, batch_size=1))
    assert [step.face for step in invert.steps] == [0] * 6 + [1] * 6 + [2] * 6  # type: ignore[attr-defined]
    for runner in (Local(1, batch_size=3), Local(2)):
        other = invert(generator, none, runner)
        for a, b in zip(base, other, strict=True):
            assert torch.equal(a.inversion.ws, b.inversion.ws)
            assert a.inversion.losses == b.inversion.losses
            assert a.record.metrics == b.record.metrics
            assert a.key == b.key
        assert {step.face for step in invert.steps} == {0, 1, 2}  # type: ignore[attr-defined]


def test_a_face_is_inverted_once(generator: Tiny, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = invert(generator, store, Local(), (0, 1, 0))
    assert len(invert.steps) == 2 * 6  # type: ignore[attr-defined]
    assert torch.equal(first[0].inversion.ws, first[2].inversion.ws)
    again = invert(generator, store, Local(), (1, 0))
    assert invert.steps == []  # type: ignore[attr-defined]
    assert [item.from_store for item in again] == [True, True]
    assert torch.equal(again[1].inversion.ws, first[0].inversion.ws)
    assert [item.face.name for item in again] == ["face1", "face0"]


def test_a_new_metric_needs_no_new_inversion(generator: Tiny, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    invert(generator, store, Local(), (0,))
    (item,) = invert(generator, store, Local(), (0,), metrics=("mse", "ms_ssim"))
    assert invert.steps == []  # type: ignore[attr-defined]
    assert set(item.record.metrics) == {"mse", "ms_ssim"}


def test_a_trace_is_taken_on_the_way(generator: Tiny, tmp_path: Path) -> None:
    (item,) = invert(generator, Store(str(tmp_path)), Local(), (0,), trace_every=2)
    assert item.trace is not None
    assert item.trace.ws.shape == (6, generator.num_ws, generator.w_dim)
    assert len(item.trace.frames) == 4  # steps 0, 2, 4 and the last
    assert item.trace.losses["total"][item.inversion.best_step] == item.inversion.losses["total"]
    assert (item.trace.ws[item.inversion.best_step] == item.inversion.ws.numpy()).all()


@dataclass(frozen=True)
class Dies(Job):
    """A task whose process is killed the first `times` times it meets an item."""

    folder: str
    times: int = 1

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[tuple[Record, None]]:
        (item,) = items
        mark = Path(self.folder) / str(item)
        met = int(mark.read_text()) if mark.exists() else 0
        if item == 1 and met < self.times:
            mark.write_text(str(met + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return [(Record(Inversion(torch.full((1,), float(item)), ""), {}), None)]


@pytest.mark.processes
def test_a_killed_worker_s_face_is_done_again(tmp_path: Path) -> None:
    done: dict[int, float] = {}
    runner = Local(workers=2)
    runner.run(
        Dies(str(tmp_path)), Listed([0, 1, 2, 3], lambda i, r: done.update({i: r[0].inversion.ws.item()})), print
    )
    assert done == {0: 0, 1: 1, 2: 2, 3: 3}


@pytest.mark.processes
def test_a_face_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    done: dict[int, Any] = {}
    Local(workers=2).run(Dies(str(tmp_path), times=9), Listed([0, 1, 2], lambda i, r: done.update({i: r})), print)
    assert isinstance(done[1], UserError)
    assert "1: its worker died 2 times" in str(done[1])
    assert {i for i in done if not isinstance(done[i], UserError)} == {0, 2}  # the others are done all the same


@dataclass(frozen=True)
class Fails(Job):
    """Item 1 cannot be done."""

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[tuple[Record, None]]:
        if 1 in items:
            raise UserError("no such thing")
        return [(Record(Inversion(torch.full((1,), float(item)), ""), {}), None) for item in items]


@pytest.mark.parametrize(
    "runner", [Local(1, batch_size=3), pytest.param(Local(2), marks=pytest.mark.processes)], ids=repr
)
def test_one_failure_stops_nobody_else(runner: Local) -> None:
    done: dict[int, Any] = {}
    runner.run(Fails(), Listed([0, 1, 2], lambda i, r: done.update({i: r})), print)
    assert str(done.pop(1)) == "no such thing"
    assert {i: r[0].inversion.ws.item() for i, r in done.items()} == {0: 0, 2: 2}


def test_no_workers_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        Local(workers=0)


def interrupt_at(step_number: int) -> OnStep:
    raised = False

    def on_step(step: Step) -> None:
        nonlocal raised
        if step.step == step_number and not raised:
            raised = True
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize(
    "runner", [Local(1, batch_size=2), pytest.param(Local(2), marks=pytest.mark.processes)], ids=repr
)
def test_ctrl_c_hands_in_what_was_begun(generator: Tiny, tmp_path: Path, runner: Local) -> None:
    faces = [drawn(generator, seed) for seed in range(3)]
    task, store = Task(functools.partial(build, 400), ("mse",)), Store(str(tmp_path))
    found, failed = invert_faces(faces, [0, 0, 0], task, runner, store, interrupt_at(2))
    assert failed == []
    assert [item.face.name for item in found] == ["face0", "face1"]
    assert {item.inversion.stopped for item in found} == {"interrupted"}
    assert list(tmp_path.iterdir()) == []  # nothing of it is stored as finished


@pytest.mark.parametrize("stopped", [True, False])
def test_only_what_is_finished_is_refused(generator: Tiny, monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    """An inversion that was cut short is nobody yet: it is handed in as interrupted, with what can be said of it."""
    monkeypatch.setitem(OF_IMAGES, "identity_faceres", lambda a, b: 0.3)
    task = Task(functools.partial(build, 4), ("mse", "identity_faceres"), require="same_person")
    on_step = interrupt_at(2) if stopped else print
    found, failed = invert_faces([drawn(generator, 0)], [0], task, Local(), Store(None), on_step)
    assert [(item.inversion.stopped, str(item.verdict)) for item in found] == [
        ("interrupted", "someone else (FaceRes 0.30)")
    ] * stopped
    assert len(failed) == (not stopped)
