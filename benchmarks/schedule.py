"""How close the scheduler comes to the best possible: 10,000 films on 1 to 1,000 workers.

    python -m benchmarks.schedule [--films 10000] [--out benchmarks/results/schedule.json]

The real `Scheduler`, the real segments' lengths and the real rules of retries run against a clock
that jumps from event to event; only the tasks are simulated: each takes the time that a cost model
gives, spread at random, and some fail. The lower bound is the larger of all work over all workers,
and of the longest film's own chain (prepare, its longest unit, write).

The cost model's figures are of the kind that decoding H.264 1080p in one thread takes; set them to
your own measurements. They are no measurement of a cluster.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import platform
import random
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.corpus import Movie
from pipeline.errors import LostError, MediaError, TimedOutError
from pipeline.jobs import Job, Unit
from pipeline.plan import Segment
from pipeline.scheduler import Scheduler, note_failure, retry_wait

NUM_FILMS = 10_000
SEGMENT_SECONDS = 300.0
MAX_ATTEMPTS = 4


@dataclass(frozen=True)
class Costs:
    """Seconds of one core."""

    prepare_seconds: float = 8.0
    """Looking into a film, whatever its length."""
    prepare_per_film_second: float = 0.002
    """Reading all its packets."""
    video_per_film_second: float = 0.10
    """Decoding and scaling 1080p: ten times real time."""
    audio_per_film_second: float = 0.012
    write_per_film_second: float = 0.004
    spread: float = 0.15
    """Standard deviation of the logarithm of each task's time."""
    failing: float = 0.01
    """Share of tries that fail for a transient reason, after half of their time."""
    losing: float = 0.002
    """Share of tries that are lost with their node."""


@dataclass(frozen=True)
class Outcome:
    """One simulated run."""

    workers: int
    films: int
    units: int
    retries: int
    given_up: int
    makespan_hours: float
    lower_bound_hours: float
    over_lower_bound: float
    """Makespan over lower bound, less one; the work of failed tries is in the makespan alone."""
    most_open_films: int
    driver_cpu_seconds: float
    """Of the whole simulation: an upper bound on what the scheduler itself takes."""
    driver_peak_mib: float


def film_seconds(rng: random.Random) -> float:
    """A length as film libraries have it: features about 105 minutes, shorts, a few epics."""
    kind = rng.random()
    if kind < 0.12:
        return rng.uniform(120, 2400)
    minutes = rng.lognormvariate(math.log(104), 0.20)
    return 60 * min(max(minutes, 45), 330)


class Simulation:
    """A run of the real scheduler on simulated workers."""

    def __init__(self, workers: int, costs: Costs, seed: int, num_films: int) -> None:
        rng = random.Random(seed)
        self._lengths = {f"film-{i:05d}": film_seconds(rng) for i in range(num_films)}
        # Bytes tell the length only roughly: bit rates differ.
        movies = [
            (_movie(name, int(length * 1e6 * rng.lognormvariate(0, 0.4))), name)
            for name, length in self._lengths.items()
        ]
        self._scheduler = Scheduler(movies)
        self._workers, self._costs, self._rng = workers, costs, rng
        self._queue: list[Unit] = []
        self._busy: list[tuple[float, int, Unit]] = []
        self._wait_until: list[float] = []
        self._now = 0.0
        self.work = self.chain = 0.0
        self.units = self.retries = self.given_up = self.most_open = self._ticket = 0

    def run(self) -> float:
        """Seconds until the last film is through."""
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
        if unit.result is None:
            spread = self._costs.spread
            factor = self._rng.lognormvariate(-(spread**2) / 2, spread)
            unit.result = self._cost(unit) * factor
            self.work += unit.result
            self.units += 1
        draw = self._rng.random()
        unit.payload = None
        if draw < self._costs.failing:
            unit.payload = TimedOutError("simulated")
        elif draw < self._costs.failing + self._costs.losing:
            unit.payload = LostError("simulated")
        seconds = float(unit.result)
        return seconds / 2 if unit.payload is not None else seconds

    def _cost(self, unit: Unit) -> float:
        length, costs = self._lengths[unit.job.movie.movie_id], self._costs
        if unit.kind == "prepare":
            return costs.prepare_seconds + costs.prepare_per_film_second * length
        if unit.kind == "audio":
            return costs.audio_per_film_second * length
        if unit.kind == "write":
            return costs.write_per_film_second * length
        number = unit.segment.number if unit.segment else 0
        return costs.video_per_film_second * min(SEGMENT_SECONDS, length - number * SEGMENT_SECONDS)

    def _end(self, unit: Unit) -> None:
        if unit.job.finished:
            return
        error: MediaError | None = unit.payload
        if error is not None:
            self._failed(unit, error)
            return
        job = unit.job
        job.num_open -= 1
        if unit.kind == "prepare":
            self._scheduler.push(job.add("audio"))
            length = self._lengths[job.movie.movie_id]
            for number in range(max(1, math.ceil(length / SEGMENT_SECONDS))):
                self._scheduler.push(job.add("segment", Segment(number, number, number + 1, None)))
        elif unit.kind == "write":
            self._close(job)
        elif job.num_open == 0:
            self._scheduler.push(job.add("write"))

    def _failed(self, unit: Unit, error: MediaError) -> None:
        note_failure(unit, error)
        wait = retry_wait(unit, error, MAX_ATTEMPTS, 2.0)
        if wait is None:
            self.given_up += 1
            self._close(unit.job)
            return
        self.retries += 1
        self._scheduler.push_later(unit, self._now + wait)
        heapq.heappush(self._wait_until, self._now + wait)

    def _close(self, job: Job) -> None:
        times = dict.fromkeys(("prepare", "audio", "segment", "write"), 0.0)
        for unit in job.units:
            times[unit.kind] = max(times[unit.kind], float(unit.result or 0.0))
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
        given_up=simulation.given_up,
        makespan_hours=round(makespan / 3600, 3),
        lower_bound_hours=round(bound / 3600, 3),
        over_lower_bound=round(makespan / bound - 1, 4),
        most_open_films=simulation.most_open,
        driver_cpu_seconds=round(time.process_time() - started, 1),
        driver_peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


def _movie(name: str, num_bytes: int) -> Movie:
    return Movie(movie_id=name, uri=f"file:///{name}", group=name, num_bytes=num_bytes)


def main() -> None:
    """Print the table; write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", default="benchmarks/results/schedule.json")
    parser.add_argument("--films", type=int, default=NUM_FILMS)
    arguments = parser.parse_args()
    costs = Costs()
    outcomes = []
    for workers in (1, 10, 100, 1000):
        outcomes.append(simulate(workers, costs, num_films=arguments.films))
        found = outcomes[-1]
        print(
            f"{found.workers:5} workers: {found.makespan_hours:10.2f} h, "
            f"{100 * found.over_lower_bound:5.2f} % over the lower bound, "
            f"at most {found.most_open_films} films open, {found.retries} retries, "
            f"driver {found.driver_cpu_seconds} s, {found.driver_peak_mib} MiB"
        )
    record = {
        "command": "python -m benchmarks.schedule",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "costs": asdict(costs),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    Path(arguments.out).write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
