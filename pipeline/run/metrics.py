"""The run as metrics of Ray, which exports them to Prometheus; `deploy/grafana.json` shows them.

All names begin with `reelshards_`; Ray puts `ray_` before that. They are kept in the driver: tasks
report through what they give back.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from pipeline.engine import Event


class Metrics:
    """Counts what events tell. Without a metrics exporter in the cluster this costs nothing."""

    def __init__(self) -> None:
        def counter(name: str, text: str, *tags: str) -> Counter:
            return Counter(f"reelshards_{name}", text, tag_keys=tags)

        self._film_seconds = counter("film_seconds_decoded", "Film seconds decoded")
        self._cpu_seconds = counter("ffmpeg_cpu_seconds", "CPU seconds of ffmpeg")
        self._task_seconds = counter("task_cpu_seconds", "CPU seconds of all, by task", "task")
        self._clips = counter("clips", "Clips committed")
        self._bytes = counter("shard_bytes", "Bytes of committed shards")
        self._movies = counter("movies", "Movies ended, by status", "status")
        self._failures = counter("failures", "Movies given up, by class", "error_class")
        self._retries = counter("retries", "Tasks tried again, by class", "error_class")
        self._queue = Gauge("reelshards_tasks_queued", "Tasks that run or could run")
        self._rss = Gauge("reelshards_worker_peak_rss_bytes", "Largest worker so far")
        self._largest_rss = 0

    def note(self, event: Event | None, num_queued: int) -> None:
        """Take in what happened, if anything did."""
        self._queue.set(num_queued)
        if event is None:
            return
        if event.task_cpu_seconds > 0:
            task = event.unit.partition(" ")[0]
            self._task_seconds.inc(event.task_cpu_seconds, {"task": task})
        if event.kind == "decoded":
            _add(self._film_seconds, event.film_seconds)
            _add(self._cpu_seconds, event.cpu_seconds)
            self._largest_rss = max(self._largest_rss, event.peak_rss_bytes)
            self._rss.set(self._largest_rss)
        elif event.kind == "retry":
            self._retries.inc(1, {"error_class": event.error_class})
        elif event.kind == "finished" and event.row is not None:
            self._movies.inc(1, {"status": event.row.status})
            _add(self._clips, event.row.num_clips)
            _add(self._bytes, event.row.shard_bytes)
            if event.row.error_class:
                self._failures.inc(1, {"error_class": event.row.error_class})


def _add(counter: Counter, value: float) -> None:
    # A counter of Ray takes no zero.
    if value > 0:
        counter.inc(value)
