"""Thread pools for jobs that may hang."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from trainer.data.fetch.threads import ElasticPool

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


def test_a_thread_is_reused(threads: ElasticPool) -> None:
    seen = [threads.run(threading.get_ident).result(10.0) for _ in range(20)]
    assert len(set(seen)) == 1
    assert len(names()) == 1


def test_a_hanging_job_delays_no_other(threads: ElasticPool) -> None:
    release = threading.Event()
    hanging = [threads.run(release.wait) for _ in range(3)]
    assert threads.run(lambda: 7).result(10.0) == 7
    assert not any(job.done() for job in hanging)
    release.set()
    assert all(job.result(10.0) for job in hanging)


def test_an_exception_is_passed_on_and_the_thread_survives(threads: ElasticPool) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.run(fail).result(10.0)
    assert threads.run(lambda: 1).result(10.0) == 1
    assert len(names()) == 1


def test_a_thread_ends_with_its_job_after_close(threads: ElasticPool) -> None:
    release = threading.Event()
    hanging = threads.run(release.wait)
    threads.run(lambda: 1).result(10.0)
    threads.close()
    release.set()
    assert hanging.result(10.0)


def test_an_idle_thread_keeps_no_references(threads: ElasticPool) -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)

    def job(value: Large = large) -> int:
        return id(value)

    threads.run(job).result(10.0)
    del large, job
    # The thread drops the job right after publishing the result.
    until = time.monotonic() + 10.0
    while gone() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert gone() is None
