"""Which unit runs next. Pure: the engine drives it on Ray, a benchmark drives it in simulation.

Movies are admitted longest first, so that a run ends with short ones. The time that decoding takes
is estimated from the file size, which is all that is known before a movie is probed
(`benchmarks/results/schedule.md` shows what the estimate costs). Units of open movies run before
new movies, and a write runs before everything else, because a finished movie frees its memory. New
movies are admitted only while workers would otherwise be idle, so the number of open movies, and
with it memory, does not grow with the corpus.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from pipeline.engine.jobs import Assignment, Job, Unit

#: Tasks in flight per CPU: enough that no worker waits for the driver.
IN_FLIGHT_PER_CPU = 2

#: Units of one kind run in the order in which they were queued.
_ORDER = {"write": 0, "audio": 1, "segment": 2, "prepare": 3}


class Scheduler:
    """The queue of a run. Times are seconds on the caller's clock."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        """Nothing runs before `next_units`."""
        movies = sorted(_by_movie(assignments), key=lambda views: -views[0].movie.num_bytes)
        self._waiting = deque(movies)
        self._ready: list[tuple[int, int, Unit]] = []
        self._later: list[tuple[float, int, Unit]] = []
        self._ticket = 0
        self.open: list[Job] = []

    @property
    def is_empty(self) -> bool:
        """Whether every movie is closed."""
        return not self._waiting and not self.open

    @property
    def num_queued(self) -> int:
        """Units that could run now."""
        return len(self._ready)

    def next_units(self, now: float, num_cpus: int, num_running: int) -> Iterator[Unit]:
        """Units to start now; admits new movies as far as workers would be idle."""
        while self._later and self._later[0][0] <= now:
            self.push(heapq.heappop(self._later)[2])
        limit = IN_FLIGHT_PER_CPU * num_cpus
        while self._waiting and len(self._ready) + num_running < limit:
            for job in _jobs(self._waiting.popleft(), now):
                self.open.append(job)
                self.push(job.add("prepare"))
        while self._ready and num_running < limit:
            num_running += 1
            yield heapq.heappop(self._ready)[2]

    def take_twins(self, unit: Unit) -> list[Unit]:
        """Remove the queued units that the same task can do, and return them."""
        if not unit.job.siblings:
            return []
        twins = [item[2] for item in (*self._ready, *self._later) if item[2].is_twin_of(unit)]
        self._remove(twins)
        return sorted(twins, key=lambda twin: twin.job.view)

    def push(self, unit: Unit) -> None:
        """Queue a unit."""
        self._ticket += 1
        heapq.heappush(self._ready, (_ORDER[unit.kind], self._ticket, unit))

    def push_later(self, unit: Unit, time: float) -> None:
        """Queue a unit that may not start before `time`."""
        self._ticket += 1
        heapq.heappush(self._later, (time, self._ticket, unit))

    def close(self, job: Job) -> None:
        """A movie has ended: remove its units from the queue."""
        job.finished = True
        self.open.remove(job)
        self._remove(job.units)

    def stop_admitting(self) -> int:
        """Admit no further movies; returns how many are left out."""
        count = sum(map(len, self._waiting))
        self._waiting.clear()
        return count

    def _remove(self, units: Collection[Unit]) -> None:
        """Remove units from the queue."""
        self._ready = [entry for entry in self._ready if entry[2] not in units]
        self._later = [entry for entry in self._later if entry[2] not in units]
        heapq.heapify(self._ready)
        heapq.heapify(self._later)


def _by_movie(assignments: Iterable[Assignment]) -> list[list[Assignment]]:
    """Assignments of the same movie for different views together, in the order of the views."""
    movies: list[list[Assignment]] = []
    # By part of a source, and by how often the view has had that part before.
    last: dict[tuple[int, object], list[Assignment]] = {}
    seen: Counter[tuple[int, object]] = Counter()
    for item in assignments:
        part = item.part
        key = (seen[item.view, part], part)
        seen[item.view, part] += 1
        if key not in last:
            last[key] = []
            movies.append(last[key])
        last[key].append(item)
    return movies


def _jobs(views: Sequence[Assignment], now: float) -> list[Job]:
    """The jobs of one movie."""
    jobs = [
        Job(item.movie, item.fingerprint, item.first_shard, started=now, view=item.view)
        for item in views
    ]
    for job in jobs:
        job.siblings = [other for other in jobs if other is not job]
    return jobs
