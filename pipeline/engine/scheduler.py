"""Which unit runs next: pure, driven by the engine on Ray and by the simulation alike.

Movies are taken in longest first, so that the end of a run holds short ones. How long decoding
takes is estimated by bytes: nothing else is known before a movie was looked into
(`benchmarks/results/schedule.md` has what the estimate costs). An open movie's units go before new
movies, and its write before all, because a movie that is through frees its memory. A new movie is
only taken in when the open ones leave workers idle: open movies, and with them memory, do not grow
with the corpus.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from pipeline.engine.jobs import Job, Unit
from pipeline.errors import KilledError, MovieError, OutOfMemoryError
from pipeline.sources import Movie
from shards_spec.errors import StorageError
from shards_spec.schema import Status

#: Tasks in flight per CPU: enough that no worker waits for the driver.
IN_FLIGHT_PER_CPU = 2

#: Tries that end because a node went away are free, up to here.
MAX_LOSSES = 20

#: Memory is doubled at most this often for one unit.
_MAX_DOUBLINGS = 4

#: A movie whose next unit was lost or must wait goes first when it may go on.
_ORDER = {"write": 0, "audio": 1, "segment": 2, "prepare": 3}


class Scheduler:
    """The queue of a run. Times are seconds on the caller's clock."""

    def __init__(self, movies: Sequence[tuple[Movie, str]]) -> None:
        """`movies` are pairs of movie and source fingerprint."""
        self._waiting = deque(sorted(movies, key=lambda pair: -pair[0].num_bytes))
        self._ready: list[tuple[int, int, Unit]] = []
        self._later: list[tuple[float, int, Unit]] = []
        self._ticket = 0
        self.open: list[Job] = []

    @property
    def is_empty(self) -> bool:
        """Whether no movie waits and none is open."""
        return not self._waiting and not self.open

    @property
    def num_queued(self) -> int:
        """Units that could run now."""
        return len(self._ready)

    @property
    def num_waiting(self) -> int:
        """Movies that nobody has begun with."""
        return len(self._waiting)

    def next_units(self, now: float, num_cpus: int, num_running: int) -> Iterator[Unit]:
        """Units to start now; open movies that are new come with their `prepare`."""
        while self._later and self._later[0][0] <= now:
            self.push(heapq.heappop(self._later)[2])
        limit = IN_FLIGHT_PER_CPU * num_cpus
        while self._waiting and len(self._ready) + num_running < limit:
            job = Job(*self._waiting.popleft(), started=now)
            self.open.append(job)
            self.push(job.add("prepare"))
        while self._ready and num_running < limit:
            num_running += 1
            yield heapq.heappop(self._ready)[2]

    def push(self, unit: Unit) -> None:
        """Queue a unit."""
        self._ticket += 1
        heapq.heappush(self._ready, (_ORDER[unit.kind], self._ticket, unit))

    def push_later(self, unit: Unit, time: float) -> None:
        """Queue a unit from `time` on."""
        self._ticket += 1
        heapq.heappush(self._later, (time, self._ticket, unit))

    def close(self, job: Job) -> None:
        """A movie is through: nothing of it is to be started any more."""
        job.finished = True
        self.open.remove(job)
        self._ready = [entry for entry in self._ready if entry[2].job is not job]
        self._later = [entry for entry in self._later if entry[2].job is not job]
        heapq.heapify(self._ready)
        heapq.heapify(self._later)

    def stop_admitting(self) -> int:
        """Take in no further movie; how many are left out."""
        count = len(self._waiting)
        self._waiting.clear()
        return count


def retry_wait(unit: Unit, error: Exception, max_attempts: int, seconds: float) -> float | None:
    """Seconds until the unit's next try after `error`, or None when there is to be none.

    The wait doubles with each try; a share of up to a half, fixed by movie, unit and try, keeps
    tasks that failed together from coming back together.
    """
    kind = kind_of(error)
    if kind == "lost":
        tries, allowed = unit.losses, unit.losses < MAX_LOSSES
    else:
        tries, allowed = unit.attempts, kind != "permanent" and unit.attempts < max_attempts
    if not allowed:
        return None
    name = f"{unit.job.movie.movie_id} {unit.name} {tries}"
    spread = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**33
    return float(seconds * 2 ** min(tries - 1, 8) * (1 + spread))


def kind_of(error: Exception) -> str:
    """`permanent`, `transient`, `resource`, or `lost` for what went away through no fault of it."""
    if isinstance(error, StorageError):
        return "transient"
    if isinstance(error, MovieError):
        return "lost" if error.error_class == "lost" else error.kind
    return "permanent"


def note_failure(unit: Unit, error: Exception) -> None:
    """Count a try that ended in `error`; a lack of memory gives the next one twice as much."""
    if kind_of(error) == "lost":
        unit.attempts -= 1
        unit.losses += 1
    elif isinstance(error, (KilledError, OutOfMemoryError)):
        unit.memory_factor = min(2 * unit.memory_factor, 2**_MAX_DOUBLINGS)


def final_status(error: MovieError) -> Status:
    """What a movie is that no try helped: `failed` ones are tried again by the next run."""
    if error.error_class in ("too_short", "all_clips_dropped"):
        return "skipped"
    # A film that takes any memory that it is given would come back for ever.
    if error.kind == "permanent" or error.error_class == "out_of_memory":
        return "quarantined"
    return "failed"
