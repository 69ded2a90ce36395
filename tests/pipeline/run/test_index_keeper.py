"""When the index is updated while a run continues."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pipeline.run.index_keeper import IndexKeeper
from shards_spec.errors import StorageError
from shards_spec.schema import MovieRow


class Run:
    """A keeper with a manual clock, and an update that takes a chosen time."""

    def __init__(self, every_seconds: float = 300.0, every_movies: int = 4) -> None:
        self.now = 0.0
        self.update_seconds = 0.0
        self.num_updates = 0
        self.error: Exception | None = None
        self.keeper = IndexKeeper(self.update, every_seconds, every_movies, lambda: self.now)

    def update(self) -> list[MovieRow]:
        self.num_updates += 1
        self.now += self.update_seconds
        if self.error is not None:
            raise self.error
        return []

    def finished(self, count: int, now: float) -> int:
        """Finish movies at a given time; returns the number of updates so far."""
        self.now = now
        for _ in range(count):
            self.keeper.note_finished()
        self.keeper.update_if_due()
        running = self.keeper._running
        if running is not None:
            running.exception(timeout=30)
        return self.num_updates


@pytest.fixture
def run() -> Run:
    return Run()


def test_an_update_comes_after_some_time_or_some_movies(run: Run) -> None:
    assert run.finished(1, now=299) == 0
    assert run.finished(0, now=300) == 1
    assert run.finished(3, now=310) == 1
    assert run.finished(1, now=320) == 2
    # Without new movies there is nothing to do.
    assert run.finished(0, now=9_000) == 2
    run.keeper.close()


def test_slow_updates_are_less_frequent(run: Run) -> None:
    run.update_seconds = 60.0
    assert run.finished(4, now=300) == 1
    assert run.now == 360
    assert run.finished(9, now=360 + 599) == 1
    assert run.finished(0, now=360 + 600) == 2
    run.keeper.close()


def test_an_update_that_fails_ends_the_run(run: Run) -> None:
    run.error = StorageError("the bucket is gone")
    assert run.finished(4, now=300) == 1
    with pytest.raises(StorageError, match="gone"):
        run.keeper.update_if_due()
    run.keeper.close()


def test_one_update_at_a_time() -> None:
    gate = threading.Event()
    calls: list[int] = []

    def slow() -> list[MovieRow]:
        calls.append(1)
        gate.wait(30)
        return []

    keeper = IndexKeeper(slow, 1.0, 1, _steps())
    keeper.note_finished()
    keeper.update_if_due()
    for _ in range(3):
        keeper.note_finished()
        keeper.update_if_due()
    gate.set()
    keeper.close()
    assert len(calls) == 1


def _steps() -> Callable[[], float]:
    """A clock that advances by 100 s with each reading."""
    times = iter(range(0, 10**6, 100))
    return lambda: float(next(times))
