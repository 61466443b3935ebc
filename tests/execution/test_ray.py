"""A Ray cluster: the same bits; machines and workers that die lose nothing; never more submitted than there is room for."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.components import build as build_node
from gan_inversion.errors import UserError
from gan_inversion.execution.local import Local
from gan_inversion.execution.work import Job, Listed, Runner
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import OnStep
from gan_inversion.inversion.inverter import Inverter
from gan_inversion.store.inversions import Task
from tests import batches, conftest
from tests.composed import command_of, tiny_config
from tests.conftest import ROOT, drawn, make_inverter
from tests.store import test_inversions
from tests.store.test_inversions import Dies

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install ".[ray]"')

from ray._private.services import find_gcs_addresses  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from gan_inversion.execution import ray as ray_runner  # noqa: E402
from gan_inversion.execution.ray import Ray  # noqa: E402

for module in (sys.modules[__name__], conftest, test_inversions):
    ray.cloudpickle.register_pickle_by_value(module)  # workers cannot import tests
pytestmark = pytest.mark.processes
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
NOTICED_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


# ------------------------------------------------------------------ without a cluster


def test_no_cluster_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """First in this file: no other test's cluster is there to be found."""
    if find_gcs_addresses():
        pytest.skip("a Ray cluster runs on this machine")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"runner.address=auto: no cluster .*ray start --head.*runner.address=null"):
        Ray().run(Job(), Listed([1], print), print)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere"])
def test_a_wrong_address_is_said_at_once(address: str) -> None:
    with pytest.raises(UserError, match=f"runner.address={address}: no cluster"):
        Ray(address).run(Job(), Listed([1], print), print)


def test_auto_takes_the_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UserError, match="refused"):
        Ray().run(Job(), Listed([1], print), print)


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "gan_inversion.execution.ray")
    with pytest.raises(UserError, match=r'pip install "\.\[ray\]"'):
        build_node({"_target_": "gan_inversion.execution.ray.Ray"}, "runner")


@pytest.mark.parametrize("wrong", [{"cpus": 0.0}, {"gpus": -1.0}, {"retries": -1}, {"in_flight": 0}], ids=str)
def test_impossible_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be"):
        Ray(**wrong)


CHILD = """
import sys
from gan_inversion.execution.ray import Ray
from gan_inversion.execution.work import Listed
from tests.execution.test_ray import Slow
import torch
torch.set_num_threads(1)
done = []
try:
    Ray(None).run(Slow(sys.argv[1], float(sys.argv[2])), Listed(range(40), lambda n, r: done.append(n)), print)
finally:
    print(sorted(done))
"""


@dataclass(frozen=True)
class Slow(Job):
    """Says where it has begun, and sleeps."""

    folder: str
    seconds: float

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[int]:
        (Path(self.folder) / f"{items[0]}").write_text(str(os.getpid()))
        time.sleep(self.seconds)
        return list(items)


@pytest.mark.parametrize(("seconds", "times", "code"), [(1.0, 1, 0), (60.0, 2, -signal.SIGINT)], ids=["once", "twice"])
def test_ctrl_c_finishes_what_has_begun(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seconds: float, times: int, code: int
) -> None:
    child = tmp_path_factory.mktemp("child") / "child.py"
    child.write_text(CHILD)
    process = batches.fork([sys.executable, str(child), str(tmp_path), str(seconds)], ROOT, PYTHONPATH=str(ROOT))
    wait_for(lambda: len(list(tmp_path.iterdir())) >= 1, 60)
    for again in range(times):
        time.sleep(1.5 * again)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of the run's processes get it
    out, err = process.communicate(timeout=60)
    begun = {int(path.name): int(path.read_text()) for path in tmp_path.iterdir()}
    assert process.returncode in (code, 1 if code else 0), err
    assert len(begun) < 40
    assert out.strip().splitlines()[-1] == str(sorted(begun) if times == 1 else [])
    assert ("KeyboardInterrupt" in err) == (times == 2)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in begun.values()))


# ------------------------------------------------------------------ three machines


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes of one CPU each, as processes of this machine."""
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": NOTICED_SOON})
    try:
        for _ in range(2):
            cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def connected(cluster: Cluster) -> Iterator[Cluster]:
    """One connection for several runs, so that they share worker processes."""
    ray.init(cluster.address, logging_level="warning")
    yield cluster
    ray.shutdown()


def results_of(runner: Runner, job: Job, items: Sequence[Any]) -> dict[int, Any]:
    done: dict[int, Any] = {}
    runner.run(job, Listed(items, lambda number, result: done.update({number: result})), print)
    return done


def build(steps: int = 5) -> Inverter:
    return make_inverter(tiny(), steps=steps, latent_noise=0.2)


TASK = Task(functools.partial(build), ("mse",))


@dataclass(frozen=True)
class Slowly(Job):
    """The same inversions, with time to lose a machine at."""

    folder: str

    def __call__(self, items: Sequence[Any], on_step: OnStep) -> Sequence[Any]:
        folder = Path(self.folder)
        (folder / f"{items[0][1]}.{os.getpid()}").write_text(ray.get_runtime_context().get_node_id())
        wait_for(
            lambda: len({path.read_text() for path in folder.iterdir()} - {""}) >= 3, 120
        )  # all machines are at work
        time.sleep(1.5)
        return TASK(items, on_step)


def assert_same(base: dict[int, Any], other: dict[int, Any]) -> None:
    assert sorted(base) == sorted(other)
    for number, (record, _) in base.items():
        found = other[number][0]
        assert torch.equal(found.inversion.ws, record.inversion.ws)
        assert found.inversion.losses == record.inversion.losses
        assert found.metrics == record.metrics


def test_the_same_bits_as_here(cluster: Cluster, generator: Tiny) -> None:
    items = [(drawn(generator, seed), seed) for seed in range(6)]
    assert_same(results_of(Local(1, batch_size=1), TASK, items), results_of(Ray(cluster.address), TASK, items))
    assert not ray.is_initialized()


def test_a_lost_machine_loses_nothing(connected: Cluster, generator: Tiny, tmp_path: Path) -> None:
    items = [(drawn(generator, seed), seed) for seed in range(6)]
    victim, removed = connected.list_all_nodes()[-1], []

    def remove() -> None:
        wait_for(lambda: any(path.read_text() == victim.node_id for path in tmp_path.iterdir()), 120)
        connected.remove_node(victim, allow_graceful=False)
        removed.append(victim)

    killer = threading.Thread(target=remove)
    killer.start()
    try:
        found = results_of(Ray(), Slowly(str(tmp_path)), items)
    finally:
        killer.join()
        if removed:
            connected.add_node(**NODE)
    begun = Counter(path.name.split(".")[0] for path in tmp_path.iterdir())
    assert max(begun.values()) == 2  # the removed machine's item was begun again elsewhere
    assert_same(results_of(Local(1, batch_size=1), TASK, items), found)


def test_a_batch_that_loses_a_machine_is_the_batch_here(cluster: Cluster, tmp_path: Path) -> None:
    """`scripts/batch.py` as a process of its own, one machine of three removed in the middle: file by file the same."""
    manifest = batches.make_manifest(tmp_path / "couples.csv", 30, batches.make_photos(tmp_path / "photos", 10))
    batches.finish(batches.fork(batches.command(manifest, "here", "store_here"), tmp_path))
    there = ["runner=ray", f"runner.address={cluster.address}"]
    process = batches.fork(batches.command(manifest, "there", "store_there", *there), tmp_path)
    wait_for(lambda: len(list((tmp_path / "there").glob("couples/*/done.json"))) >= 5, 180)
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    try:
        assert "30 of 30 couples done, 0 failed" in batches.finish(process)
    finally:
        cluster.add_node(**NODE)
    assert batches.results_of(tmp_path / "there") == batches.results_of(tmp_path / "here")


def test_a_killed_worker_s_item_is_done_again(connected: Cluster, tmp_path: Path) -> None:
    found = results_of(Ray(), Dies(str(tmp_path)), [0, 1, 2, 3])
    assert {n: r[0].inversion.ws.item() for n, r in found.items()} == {0: 0, 1: 1, 2: 2, 3: 3}


def test_an_item_that_kills_every_worker_is_named(connected: Cluster, tmp_path: Path) -> None:
    found = results_of(Ray(retries=1), Dies(str(tmp_path), times=9), [0, 1, 2])
    assert isinstance(found[1], UserError)
    assert str(found[1]) == "1: its worker died 2 times (killed; out of memory?)."
    assert {n for n in found if not isinstance(found[n], UserError)} == {0, 2}


@dataclass(frozen=True)
class Tells(Job):
    """Where it is done, and by what."""

    make_inverter: Callable[[], Inverter]

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[tuple[int, int, int, str | None, Path]]:
        built, threads = id(self.make_inverter()), torch.get_num_threads()
        return [(os.getpid(), built, threads, os.environ.get("OMP_NUM_THREADS"), Path.cwd())]


def test_workers_build_once_and_are_as_this_process(
    connected: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(2)
    try:
        job = Tells(command_of(tiny_config()).task().make_inverter)
        found = results_of(Ray(cpus=1), job, range(12)).values()
    finally:
        torch.set_num_threads(1)
    assert len({tells[0] for tells in found}) < len(found) == 12
    assert len({tells[:2] for tells in found}) == len({tells[0] for tells in found}), "each worker built one"
    assert {tells[2:] for tells in found} == {(2, "2", tmp_path)}


class Ahead:
    """Work that counts how far taking is ahead of keeping; the second half is ready when the first is done."""

    def __init__(self, count: int) -> None:
        self.count, self.taken, self.kept, self.most = count, 0, 0, 0

    def take(self, most: int) -> list[tuple[int, int]]:
        half = self.count // 2
        if self.taken == self.count or (self.taken == half and self.kept < half):
            return []
        self.taken += 1
        self.most = max(self.most, self.taken - self.kept)
        return [(self.taken, self.taken)]

    def keep(self, number: int, result: Any) -> None:
        assert result == number
        self.kept += 1


class Nothing(Job):
    def __call__(self, items: Sequence[int], on_step: OnStep) -> Sequence[int]:
        return items


@pytest.mark.parametrize(("in_flight", "most"), [(4, 4), (None, 6)])
def test_no_more_is_taken_than_there_is_room_for(connected: Cluster, in_flight: int | None, most: int) -> None:
    work = Ahead(200)
    Ray(in_flight=in_flight).run(Nothing(), work, print)
    assert (work.taken, work.kept, work.most) == (200, 200, most)


@dataclass(frozen=True)
class Fails(Job):
    error: Exception

    def __call__(self, items: Sequence[int], on_step: OnStep) -> list[int]:
        if items[0] == 1:
            raise self.error
        return list(items)


def test_what_is_nobody_s_fault_but_the_item_s(connected: Cluster) -> None:
    found = results_of(Ray(), Fails(UserError("no such face")), range(4))
    assert str(found.pop(1)) == "no such face"
    assert found == {0: 0, 2: 2, 3: 3}


def test_a_mistake_of_the_job_is_raised(connected: Cluster) -> None:
    with pytest.raises(ZeroDivisionError, match="by hand") as caught:
        results_of(Ray(), Fails(ZeroDivisionError("by hand")), range(4))
    assert "raise self.error" in "".join(traceback.format_exception(caught.value))


def test_another_kind_of_machine_is_refused(connected: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_runner, "_kind", lambda: "torch 1.0")
    with pytest.raises(UserError, match=r"has torch .*started with torch 1\.0"):
        results_of(Ray(), Nothing(), range(4))


@pytest.mark.parametrize(("runner", "needs"), [(Ray(cpus=7), "7 CPUs"), (Ray(gpus=2), "1 CPUs and 2 GPUs")], ids=str)
def test_too_small_machines_are_said(
    connected: Cluster, caplog: pytest.LogCaptureFixture, runner: Ray, needs: str
) -> None:
    runner.run(Nothing(), Listed([], print), print)
    assert f"no machine of the cluster has {needs}: waiting for one" in caplog.text


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
