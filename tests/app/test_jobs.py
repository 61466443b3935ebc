"""One job at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from gan_inversion.app.jobs import CANCELLED, DONE, FAILED, Job, Jobs
from gan_inversion.errors import UserError
from gan_inversion.report import progress


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(most=2)
    yield made
    made.close()


def ended(job: Job) -> Job:
    end = time.monotonic() + 20
    while not job.over:
        assert time.monotonic() < end
        time.sleep(0.005)
    return job


def busy() -> None:
    """Until it is interrupted."""
    for _ in range(4000):
        time.sleep(0.005)


def test_one_after_the_other(jobs: Jobs) -> None:
    """And no more than so many waiting."""
    go, order = threading.Event(), list[int]()
    first = jobs.submit("a", "me", go.wait)
    others = [jobs.submit("a", who, lambda who=who: order.append(who)) for who in ("you", "she")]
    assert [jobs.before(job) for job in others] == [1, 2]
    with pytest.raises(UserError, match="2 jobs wait already"):
        jobs.submit("a", "he", go.wait)
    go.set()
    assert [ended(job).state for job in (first, *others)] == [DONE] * 3
    assert order == ["you", "she"]
    assert jobs.left(first) is not None  # by what the last of its kind took


def test_cancelling_ends_one_s_own_alone(jobs: Jobs) -> None:
    running, mine = jobs.submit("a", "me", busy), jobs.submit("a", "me", busy)
    yours = jobs.submit("b", "you", lambda: "made")
    while running.state != "running":
        time.sleep(0.005)
    begin = time.monotonic()
    jobs.cancel("me")
    assert mine.state == CANCELLED
    assert ended(running).state == CANCELLED and time.monotonic() - begin < 2
    assert ended(yours).result == "made"
    jobs.cancel("you")  # nothing of it is left to be cancelled
    assert ended(jobs.submit("a", "you", lambda: 1)).state == DONE


def test_a_command_that_hands_in_what_it_has_is_asked_again(jobs: Jobs) -> None:
    def stubborn() -> None:
        try:
            busy()
        except KeyboardInterrupt:
            busy()

    job = jobs.submit("a", "me", stubborn)
    while job.state != "running":
        time.sleep(0.005)
    jobs.cancel("me")
    assert ended(job).state == CANCELLED


def test_a_bar_ends_at_its_next_step(jobs: Jobs) -> None:
    """Where there is one, nothing is cut in the middle."""
    done = list[int]()

    def work() -> None:
        for number in progress.bar_of("children", "child")(range(500)):
            time.sleep(0.01)
            done.append(number)

    job = jobs.submit("a", "me", work)
    while not done:
        time.sleep(0.005)
    begin = time.monotonic()
    jobs.cancel("me")
    assert ended(job).state == CANCELLED and time.monotonic() - begin < 0.4


def test_what_went_wrong_is_a_sentence(jobs: Jobs) -> None:
    def refuse() -> None:
        raise UserError("dad.jpg: no face found.")

    assert ended(jobs.submit("a", "me", refuse)).problem == "dad.jpg: no face found."
    broken = ended(jobs.submit("a", "me", lambda: 1 // 0))
    assert broken.state == FAILED and "mistake of the program" in broken.problem
    assert ended(jobs.submit("a", "me", lambda: 1)).state == DONE


def test_progress_and_remarks(jobs: Jobs) -> None:
    halfway, go = threading.Event(), threading.Event()

    def work() -> None:
        with progress.Showing("inverting", 10) as bar:
            bar.reach(5)
            halfway.set()
            go.wait(10)
        list(progress.bar_of("children", "child")(range(3)))
        logging.getLogger("gan_inversion.editing").warning("as near as %d", 4)

    job = jobs.submit("a", "me", work)
    halfway.wait(10)
    assert job.stage == ("inverting", 5, 10)
    assert jobs.left(job) == pytest.approx(time.monotonic() - job.stage_began, abs=0.1)  # as long again
    go.set()
    ended(job)
    assert job.stage == ("children", 2, 3)
    assert job.remarks == ["as near as 4"]
