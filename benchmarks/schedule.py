"""How close the scheduler comes to the best possible: 10,000 movies on 1 to 1,000 workers.

    python -m benchmarks.schedule [--movies 10000] [--out benchmarks/results]

The real `Scheduler`, the real segments' lengths and the real rules of retries run against a clock
that jumps from event to event; only the tasks are simulated. What they take is measured: the rates
and spreads of `results/costs.json`, which `benchmarks.costs` writes. Assumed are the lengths of
movies (as in typical libraries), equal shares of the measured kinds, and failure rates. The
lower bound is the larger of all work over all workers, and of the longest movie's own chain
(prepare, its longest unit, write); the work of failed attempts counts only in the makespan.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import platform
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.films.schedule_films import (
    PASSING,
    PERMANENT,
    SEGMENT_SECONDS,
    Costs,
    make_film,
    read_costs,
)
from benchmarks.support import RESULTS
from pipeline.engine import Assignment
from pipeline.engine.failure_classes import failure_class
from pipeline.engine.jobs import Job, Unit
from pipeline.engine.retries import count_attempt, retry_delay_seconds
from pipeline.engine.scheduler import Scheduler
from pipeline.plan.segments import Segment
from pipeline.sources import Movie
from shards_spec.process import peak_rss_bytes

NUM_FILMS = 10_000
MAX_ATTEMPTS = 4


@dataclass(frozen=True)
class Outcome:
    """One simulated run."""

    workers: int
    films: int
    units: int
    retries: int
    failures: dict[str, int]
    """Films given up, by class."""
    work_hours: float
    """Of all tasks on one core, without failed attempts."""
    makespan_hours: float
    lower_bound_hours: float
    over_lower_bound: float
    """Makespan over lower bound, minus one; failed attempts count only in the makespan."""
    most_open_films: int
    driver_cpu_seconds: float
    """Of the whole simulation: an upper bound on what the scheduler itself takes."""
    driver_peak_mib: float


class Simulation:
    """A run of the real scheduler on simulated workers."""

    def __init__(self, workers: int, costs: Costs, seed: int, num_films: int) -> None:
        rng = random.Random(seed)
        self._films = {f"film-{i:05d}": make_film(rng, costs) for i in range(num_films)}
        # Bytes are only a rough measure of length: bit rates differ.
        movies = [
            Assignment(
                _movie(
                    name, film.seconds * film.costs.bytes_per_second * rng.lognormvariate(0, 0.4)
                ),
                "",
            )
            for name, film in self._films.items()
        ]
        self._scheduler = Scheduler(movies)
        self._workers, self._costs, self._rng = workers, costs, rng
        self._queue: list[Unit] = []
        self._busy: list[tuple[float, int, Unit]] = []
        self._wait_until: list[float] = []
        self._seconds_of: dict[Unit, float] = {}
        self._errors: dict[Unit, Exception | None] = {}
        self._now = 0.0
        self.work = self.chain = 0.0
        self.units = self.retries = self.most_open = self._ticket = 0
        self.failures: Counter[str] = Counter()

    def run(self) -> float:
        """Seconds until the last movie is done."""
        while not self._scheduler.is_empty:
            running = len(self._busy) + len(self._queue)
            self._queue += self._scheduler.next_units(self._now, self._workers, running)
            while self._queue and len(self._busy) < self._workers:
                self._begin(self._queue.pop(0))
            self.most_open = max(self.most_open, len(self._scheduler.open))
            if self._busy:
                self._now, _, unit = heapq.heappop(self._busy)
                self._end(unit)
            else:
                self._now = heapq.heappop(self._wait_until)
        return self._now

    def _begin(self, unit: Unit) -> None:
        unit.attempts += 1
        seconds = self._seconds(unit)
        self._ticket += 1
        heapq.heappush(self._busy, (self._now + seconds, self._ticket, unit))

    def _seconds(self, unit: Unit) -> float:
        film = self._films[unit.job.movie.movie_id]
        if unit not in self._seconds_of:
            self._seconds_of[unit] = film.task_seconds(unit)
            self.work += self._seconds_of[unit]
            self.units += 1
        self._errors[unit] = self._draw_error()
        if film.broken is not None and film.broken[0] == unit.kind:
            self._errors[unit] = film.broken[1]("simulated")
        seconds = self._seconds_of[unit]
        return seconds / 2 if self._errors[unit] is not None else seconds

    def _draw_error(self) -> Exception | None:
        draw = self._rng.random()
        for error, share in self._costs.passing.items():
            if draw < share:
                return error("simulated")
            draw -= share
        return None

    def _end(self, unit: Unit) -> None:
        if unit.job.finished:
            return
        error = self._errors.pop(unit)
        if error is not None:
            self._failed(unit, error)
            return
        job = unit.job
        job.num_open -= 1
        if unit.kind == "prepare":
            self._scheduler.push(job.add("audio"))
            length = self._films[job.movie.movie_id].seconds
            for number in range(max(1, math.ceil(length / SEGMENT_SECONDS))):
                self._scheduler.push(job.add("segment", Segment(number, number, number + 1, None)))
        elif unit.kind == "write":
            self._close(job)
        elif job.num_open == 0:
            self._scheduler.push(job.add("write"))

    def _failed(self, unit: Unit, error: Exception) -> None:
        count_attempt(unit, error)
        wait = retry_delay_seconds(unit, error, MAX_ATTEMPTS, 2.0)
        if wait is None:
            self.failures[failure_class(error).name] += 1
            self._close(unit.job)
            return
        self.retries += 1
        self._scheduler.push_later(unit, self._now + wait)
        heapq.heappush(self._wait_until, self._now + wait)

    def _close(self, job: Job) -> None:
        times = dict.fromkeys(("prepare", "audio", "segment", "write"), 0.0)
        for unit in job.units:
            times[unit.kind] = max(times[unit.kind], self._seconds_of.pop(unit, 0.0))
        middle = max(times["audio"], times["segment"])
        self.chain = max(self.chain, times["prepare"] + middle + times["write"])
        self._scheduler.close(job)


def simulate(workers: int, costs: Costs, seed: int = 1, num_films: int = NUM_FILMS) -> Outcome:
    """One run, and how it compares with the best that there could be."""
    started = time.process_time()
    simulation = Simulation(workers, costs, seed, num_films)
    makespan = simulation.run()
    bound = max(simulation.work / workers, simulation.chain)
    return Outcome(
        workers=workers,
        films=num_films,
        units=simulation.units,
        retries=simulation.retries,
        failures=dict(sorted(simulation.failures.items())),
        work_hours=round(simulation.work / 3600, 3),
        makespan_hours=round(makespan / 3600, 3),
        lower_bound_hours=round(bound / 3600, 3),
        over_lower_bound=round(makespan / bound - 1, 4),
        most_open_films=simulation.most_open,
        driver_cpu_seconds=round(time.process_time() - started, 1),
        driver_peak_mib=round(peak_rss_bytes() / 1024**2, 1),
    )


def _movie(name: str, num_bytes: float) -> Movie:
    return Movie(movie_id=name, uri=f"file:///{name}", group=name, num_bytes=int(num_bytes))


def page(record: dict[str, Any], outcomes: list[Outcome]) -> str:
    """The result as Markdown."""
    passing = ", ".join(f"{name} {100 * share:g} %" for name, share in record["passing"].items())
    permanent = ", ".join(f"{name} {100 * x:g} %" for name, x in record["permanent"].items())
    lines = [
        "# The scheduler's own loss",
        "",
        f"`{record['command']}`, {record['date']}, {record['machine']}. The real scheduler and its "
        "rules of retries on simulated workers; costs and their spread from `costs.json`, equal "
        f"shares of its kinds. Assumed: attempts that fail for a transient reason ({passing}), "
        f"movies that cannot be used ({permanent}).",
        "",
        "| workers | movies | makespan | lower bound | over it | movies open at most | retries "
        "| driver CPU | driver memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.workers} | {one.films} | {one.makespan_hours:.2f} h "
        f"| {one.lower_bound_hours:.2f} h | {100 * one.over_lower_bound:.2f} % "
        f"| {one.most_open_films} | {one.retries} | {one.driver_cpu_seconds:.1f} s "
        f"| {one.driver_peak_mib:.0f} MiB |"
        for one in outcomes
    ]
    lines += [
        "",
        "CPU and memory are of the whole simulation: an upper bound on what the scheduler takes. "
        f"Given up with {outcomes[-1].workers} workers: "
        + ", ".join(f"{name} {number}" for name, number in outcomes[-1].failures.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Simulate, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--costs", type=Path, default=RESULTS / "costs.json")
    parser.add_argument("--movies", "--films", type=int, default=NUM_FILMS)
    given = parser.parse_args()
    costs = read_costs(given.costs)
    outcomes = [simulate(number, costs, num_films=given.movies) for number in (1, 10, 100, 1000)]
    record = {
        "command": "python -m benchmarks.schedule",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "passing": {
            getattr(error, "error_class", "storage"): share for error, share in PASSING.items()
        },
        "permanent": {error.error_class: share for error, (_, share) in PERMANENT.items()},
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    (given.out / "schedule.json").write_text(json.dumps(record, indent=2) + "\n")
    text = page(record, outcomes)
    (given.out / "schedule.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
