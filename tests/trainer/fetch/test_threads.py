"""Threads for jobs that may hang."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from trainer.fetch.threads import ElasticPool

NAME = "reelshards-spare"


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == NAME]


@pytest.fixture
def threads() -> Iterator[ElasticPool]:
    made = ElasticPool(NAME)
    yield made
    made.close()
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join(10.0)
    assert not names()


def test_a_thread_is_used_again(threads: ElasticPool) -> None:
    seen = [threads.run(threading.get_ident).result(10.0) for _ in range(20)]
    assert len(set(seen)) == 1
    assert len(names()) == 1


def test_a_hanging_job_holds_nobody_up(threads: ElasticPool) -> None:
    go_on = threading.Event()
    hanging = [threads.run(go_on.wait) for _ in range(3)]
    assert threads.run(lambda: 7).result(10.0) == 7
    assert not any(job.done() for job in hanging)
    go_on.set()
    assert all(job.result(10.0) for job in hanging)


def test_what_a_job_raises_is_its_result_and_the_thread_goes_on(threads: ElasticPool) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.run(fail).result(10.0)
    assert threads.run(lambda: 1).result(10.0) == 1
    assert len(names()) == 1


def test_a_thread_ends_with_its_job_after_close(threads: ElasticPool) -> None:
    go_on = threading.Event()
    hanging = threads.run(go_on.wait)
    threads.run(lambda: 1).result(10.0)
    threads.close()
    go_on.set()
    assert hanging.result(10.0)


def test_an_idle_thread_holds_nothing(threads: ElasticPool) -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)

    def job(held: Large = large) -> int:
        return id(held)

    threads.run(job).result(10.0)
    del large, job
    # It lets go right after it has told the result.
    until = time.monotonic() + 10.0
    while gone() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert gone() is None
