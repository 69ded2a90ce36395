"""What runs next, what is retried, and when to abort a run: pure functions, without Ray."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ray import exceptions as ray_errors

from benchmarks import schedule
from benchmarks.costs import KindCosts
from benchmarks.films.schedule_films import Costs, read_costs
from pipeline import errors
from pipeline.__main__ import main
from pipeline.engine.failure_classes import (
    CLASSES,
    MAX_LOST_ATTEMPTS,
    failure_class,
    markdown_table,
)
from pipeline.engine.health import Health
from pipeline.engine.jobs import Assignment, Job, Unit
from pipeline.engine.on_ray.ray_failures import task_error
from pipeline.engine.retries import count_attempt, retry_delay_seconds
from pipeline.engine.scheduler import Scheduler
from pipeline.sources import Movie
from shards_spec.errors import StorageError


def movie(name: str, size: int = 1) -> Assignment:
    path = f"file:///{name}"
    return Assignment(Movie(movie_id=name, uri=path, group=name, num_bytes=size), "f")


def audio_unit(name: str) -> Unit:
    return Job(movie(name).movie, "f").add("audio")


def names(scheduler: Scheduler, cpus: int, running: int = 0, now: float = 0.0) -> list[str]:
    units = scheduler.next_units(now, cpus, running)
    return [f"{unit.job.movie.movie_id} {unit.name}" for unit in units]


def test_largest_first_and_no_more_open_movies_than_needed() -> None:
    scheduler = Scheduler([movie("s", 1), movie("xl", 9), movie("m", 3), movie("l", 5)])
    assert names(scheduler, cpus=1) == ["xl prepare", "l prepare"]
    assert names(scheduler, cpus=1, running=2) == []
    assert names(scheduler, cpus=2, running=2) == ["m prepare", "s prepare"]


def test_open_movies_precede_new_ones_and_writes_precede_all() -> None:
    scheduler = Scheduler([movie("a", 3), movie("b", 2), movie("c", 1)])
    (unit, _) = list(scheduler.next_units(0.0, 1, 0))
    scheduler.push(unit.job.add("audio"))
    scheduler.push(unit.job.add("write"))
    assert names(scheduler, cpus=1) == ["a write", "a audio"]
    assert names(scheduler, cpus=1) == ["c prepare"]


def test_delayed_units_return_in_time_and_closed_movies_never() -> None:
    scheduler = Scheduler([movie("a"), movie("b")])
    one, two = list(scheduler.next_units(0.0, 1, 0))
    scheduler.push_later(one, 5.0)
    scheduler.push_later(two, 6.0)
    assert names(scheduler, 1, now=4.9) == []
    assert names(scheduler, 1, now=5.0) == ["a prepare"]
    scheduler.close(two.job)
    assert names(scheduler, 1, now=9.0) == []
    assert scheduler.open == [one.job]
    assert not scheduler.is_empty


@pytest.mark.parametrize(
    ("error", "attempts", "status"),
    [
        (errors.UnreadableError("x"), 1, "quarantined"),
        (errors.TooShortError("x"), 1, "skipped"),
        (errors.TimedOutError("x"), 4, "failed"),
        (errors.SourceError("x"), 4, "failed"),
        (errors.DiskFullError("x"), 4, "failed"),
        (errors.OutOfMemoryError("x"), 4, "quarantined"),
        (errors.LostError("x"), MAX_LOST_ATTEMPTS, "failed"),
    ],
)
def test_attempts_are_limited_by_error_class(
    error: errors.MovieError, attempts: int, status: str
) -> None:
    unit = audio_unit("a")
    waits: list[float] = []
    while len(waits) < 100:
        unit.attempts += 1
        count_attempt(unit, error)
        wait = retry_delay_seconds(unit, error, 4, 2.0)
        if wait is None:
            break
        waits.append(wait)
    assert len(waits) == attempts - 1
    assert failure_class(error).status == status
    for place, wait in enumerate(waits):
        shortest = 2.0 * 2 ** min(place, 8)
        assert shortest <= wait <= 1.5 * shortest


def test_retry_delays_have_jitter_but_are_deterministic() -> None:
    def waits() -> list[float | None]:
        found = []
        for name in "abcdefgh":
            unit = audio_unit(name)
            unit.attempts = 1
            found.append(retry_delay_seconds(unit, StorageError("x"), 4, 2.0))
        return found

    assert waits() == waits()
    assert len(set(waits())) == 8


def test_memory_doubles_only_after_running_out_of_it() -> None:
    unit = audio_unit("a")
    factors = []
    for kind in (
        errors.KilledError,
        errors.SourceError,
        errors.OutOfMemoryError,
        errors.DiskFullError,
    ):
        count_attempt(unit, kind("x"))
        factors.append(unit.memory_factor)
    assert factors == [2, 2, 4, 4]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (ray_errors.OutOfMemoryError("over 95 %"), errors.OutOfMemoryError),
        (ray_errors.WorkerCrashedError(), errors.KilledError),
        (ray_errors.NodeDiedError("gone"), errors.LostError),
        (ray_errors.ObjectLostError("00" * 28, None, "stack"), errors.LostError),
        (ray_errors.RaySystemError(OSError("x")), errors.LostError),
    ],
)
def test_every_ray_error_has_a_class(said: Exception, wanted: type[errors.MovieError]) -> None:
    """A worker killed by Ray for its memory, a crashed worker, a lost node: each is retried."""
    found = task_error(movie("a").movie, said)
    assert type(found) is wanted
    assert failure_class(found).retry in ("with more memory", "for free")


def test_lost_attempts_do_not_count() -> None:
    unit = audio_unit("a")
    unit.attempts = 1
    count_attempt(unit, errors.LostError("x"))
    assert (unit.attempts, unit.lost_attempts) == (0, 1)


def test_the_simulation_of_a_small_corpus_keeps_workers_busy() -> None:
    """`benchmarks.schedule` with few movies: the real scheduler, tasks that fail occasionally."""
    kind = KindCosts(5.0, 0.01, 0.1, 0.01, 0.005, 5e5)
    costs = Costs(
        {"kind": kind},
        {"prepare": 0.2, "segment": 0.2, "audio": 0.1, "write": 0.1},
        passing={errors.TimedOutError: 0.03, errors.LostError: 0.02},
        permanent={
            errors.UnreadableError: ("prepare", 0.02),
            errors.DecodeError: ("segment", 0.02),
        },
    )
    found = schedule.simulate(8, costs, seed=3, num_films=120)
    assert found.films == 120
    assert found.units > 2 * 120
    assert found.retries > 0
    assert set(found.failures) == {"unreadable", "decode_failed"}
    assert 0 <= found.over_lower_bound < 0.1
    # Not the entire corpus at once.
    assert found.most_open_films <= 2 * 8 + 1


def test_the_published_simulation_uses_the_measured_costs() -> None:
    costs = read_costs(schedule.RESULTS / "costs.json")
    assert len(costs.kinds) == 4
    record = json.loads((schedule.RESULTS / "schedule.json").read_text())
    assert [outcome["workers"] for outcome in record["outcomes"]] == [1, 10, 100, 1000]
    assert all(outcome["films"] == 10_000 for outcome in record["outcomes"])
    # As promised in the documentation.
    assert all(0 <= outcome["over_lower_bound"] < 0.05 for outcome in record["outcomes"])
    again = schedule.simulate(1, costs, num_films=1000)
    assert again.work_hours / again.films == pytest.approx(
        record["outcomes"][0]["work_hours"] / 10_000, rel=0.1
    )


def test_a_run_with_an_infrastructure_failure_stops() -> None:
    health = Health(stop_after=3, failure_fraction=0.5)
    assert health.note_end("a", None) == ""
    assert health.note_end("b", errors.NoDecoderError("x")) == ""
    assert health.note_end("c", errors.NoDecoderError("x")) == ""
    # Movies that are corrupt themselves do not indicate an infrastructure failure.
    for name in "defg":
        assert health.note_end(name, errors.UnreadableError("x")) == ""
    last = errors.NoDecoderError("x")
    assert health.note_end("h", last) == ""
    for name in "ijkl":
        found = health.note_end(name, last)
    assert found == "no_decoder"
    assert health.movies_of("no_decoder") == ["b", "c", "h", "i", "j", "k", "l"]
    assert "FFMPEG_BINARY" in str(health.stopped("no_decoder", last))


def subclasses(kind: type[errors.MovieError]) -> set[type[errors.MovieError]]:
    found = {kind}
    for child in kind.__subclasses__():
        found |= subclasses(child)
    return found


def test_every_error_class_has_one_entry() -> None:
    # A class that says more than its base has the base's entry.
    names = {kind.error_class for kind in subclasses(errors.MovieError)}
    assert sorted(names) == sorted(CLASSES)
    for entry in CLASSES.values():
        # Errors caused by the movie are never retried, and errors that are retried never lead to
        # quarantine, except for a movie that exhausts any amount of memory.
        assert entry.fault != "movie" or entry.retry == "never", entry
        is_final = entry.status in ("quarantined", "skipped")
        assert (entry.retry == "never") == is_final or entry.name == "out_of_memory", entry


def test_an_unexpected_error_counts_as_a_bug() -> None:
    assert failure_class(KeyError("x")) is CLASSES["media"]
    assert failure_class(KeyError("x")).fault == "pipeline"


def test_the_operations_page_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    assert markdown_table() in page, (
        "paste `pipeline.engine.failure_classes.markdown_table()` there"
    )


def test_the_flags_in_the_table_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["preprocess", "--help"])
    existing = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    mentioned = set(re.findall(r"--[a-z][a-z-]+", markdown_table()))
    assert mentioned
    assert mentioned <= existing
