"""The run as metrics of Ray, which exports them to Prometheus; `deploy/grafana.json` shows them.

All names begin with `reelshards_`; Ray puts `ray_` in front. The metrics live in the driver: tasks
report through what they return.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from pipeline.engine.events import (
    AttemptFailed,
    Event,
    MovieFinished,
    MoviePlanned,
    PartDecoded,
    TaskCost,
)


class Metrics:
    """Counts events. Without a metrics exporter in the cluster this costs nothing."""

    def __init__(self) -> None:
        def counter(name: str, text: str, *tags: str) -> Counter:
            return Counter(f"reelshards_{name}", text, tag_keys=tags)

        self._movie_seconds = counter("movie_seconds_decoded", "Seconds of movies decoded")
        self._ffmpeg_seconds = counter("ffmpeg_cpu_seconds", "CPU seconds of ffmpeg")
        self._task_seconds = counter("task_cpu_seconds", "CPU seconds of tasks, by task", "task")
        self._clips = counter("clips", "Clips committed")
        self._bytes = counter("shard_bytes", "Bytes of committed shards")
        self._movies = counter("movies", "Movies finished, by status", "status")
        self._failures = counter("failures", "Movies without clips, by error class", "error_class")
        self._retries = counter("retries", "Failed attempts, by error class", "error_class")
        self._fallbacks = counter("hardware_fallbacks", "Segments that a card should have decoded")
        self._queue = Gauge("reelshards_tasks_queued", "Tasks that are running or could run")
        self._rss = Gauge("reelshards_worker_peak_rss_bytes", "Largest worker so far")
        self._largest_rss = 0

    def note(self, event: Event | None, num_queued: int) -> None:
        """Count an event, if there is one."""
        self._queue.set(num_queued)
        match event:
            case MoviePlanned():
                self._note_cost(event.cost)
            case PartDecoded():
                self._note_cost(event.cost)
                _add(self._movie_seconds, event.movie_seconds)
                _add(self._ffmpeg_seconds, event.ffmpeg_cpu_seconds)
                self._largest_rss = max(self._largest_rss, event.peak_rss_bytes)
                self._rss.set(self._largest_rss)
            case AttemptFailed():
                self._retries.inc(1, {"error_class": event.error_class})
            case MovieFinished():
                self._note_cost(event.cost)
                self._movies.inc(1, {"status": event.row.status})
                _add(self._clips, event.row.num_clips)
                _add(self._bytes, event.row.shard_bytes)
                _add(self._fallbacks, event.row.hardware_fallbacks)
                if event.row.error_class:
                    self._failures.inc(1, {"error_class": event.row.error_class})

    def _note_cost(self, cost: TaskCost | None) -> None:
        if cost is not None and cost.cpu_seconds > 0:
            self._task_seconds.inc(cost.cpu_seconds, {"task": cost.kind})


def _add(counter: Counter, value: float) -> None:
    # A counter of Ray rejects zero.
    if value > 0:
        counter.inc(value)
