"""Monitoring: logs, status, the dashboard."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from pipeline import lease
from pipeline.console import status
from pipeline.engine.events import AttemptFailed, MovieFinished, MovieStarted
from pipeline.run.event_log import EventLog
from pipeline.run.progress import Progress, Recorder
from shards_spec.dataset.reader import open_dataset
from shards_spec.errors import InputError
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import movie_rows
from shards_spec.storage.storage import Storage
from tests.support.films.media import Film, make_film
from tests.support.launch.rays import running
from tests.support.launch.runs import preprocess

DEPLOY = Path(__file__).parents[3] / "pipeline" / "deploy"


def test_events_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    row = MovieRow(
        movie_id="a",
        group="a",
        source_uri="file:///a.mp4",
        source_bytes=1,
        source_fingerprint="0" * 16,
        recipe_fingerprint="0" * 16,
        status="quarantined",
        error_class="too_large",
        error="a.mp4: too large",
        attempts=2,
    )
    with EventLog(str(path), clock=lambda: 12.3456) as log:
        log.write(MovieStarted("a"))
        log.write(AttemptFailed("a", "segment 3", 1, "timed_out", "x"))
        log.write(MovieFinished(row))
    started, retry, finished = map(json.loads, path.read_text().splitlines())
    assert started == {"time": 12.346, "event": "started", "movie_id": "a"}
    assert (retry["task"], retry["attempt"], retry["error_class"]) == ("segment 3", 1, "timed_out")
    assert (finished["status"], finished["attempts"]) == ("quarantined", 2)
    assert finished["message"] == "a.mp4: too large"
    with pytest.raises(InputError, match="cannot write the log"):
        EventLog(str(tmp_path / "no" / "log.jsonl"))


def test_status_distinguishes_running_from_dead_runs(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    console = Console(record=True, width=200)
    with pytest.raises(InputError, match="has no run"):
        status.watch(storage, console)
    progress = Progress("films", time.time(), time.time(), "running", 3, 1)
    Recorder(storage).write_now(progress)
    status.watch(storage, console)
    assert "killed (run again to resume): movies 1/3" in console.export_text()
    looks = []
    with lease.hold_lease(storage) as held:

        def look(_: float) -> None:
            looks.append(1)
            if len(looks) == 2:
                held.release()

        status.watch(storage, console, sleep=look)
    assert "running on " in console.export_text()
    assert len(looks) == 2


def test_status_names_every_incomplete_movie_and_its_cause(tmp_path: Path) -> None:
    def row(movie_id: str, **changes: object) -> MovieRow:
        values = {"group": movie_id, "source_uri": "file:///x", "source_bytes": 1}
        values |= {"source_fingerprint": "0" * 16, "recipe_fingerprint": "0" * 16}
        return MovieRow(**{"movie_id": movie_id, "status": "done", **values, **changes})

    second = 10**9
    rows = [
        row("whole", audio_filled_ns=second // 2),
        row("short", missing_ns=61 * second),
        row("jumps", video_lost_ns=7 * second, dropped_damaged=3),
        row("mute", audio_filled_ns=20 * second, audio_cut_ns=2 * second),
        row("broken", status="quarantined", error_class="unreadable", error="not a movie"),
    ]
    console = Console(record=True, width=200)
    status.print_status(console, None, rows, None)
    lines = console.export_text().splitlines()
    expected = {
        "short": "cut off, the last 61.0 s are missing",
        "jumps": "7.0 s of video lost: remux the parts; 3 clips with damaged frames dropped",
        "mute": "20.0 s without audio, filled with silence; 2.0 s of overlapping audio cut",
        "broken": "not a movie",
    }
    for movie_id, reason in expected.items():
        (line,) = [line for line in lines if movie_id in line]
        assert reason in line
    assert not any("whole " in line and "│" in line for line in lines)


def test_the_dashboard_shows_existing_metrics() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    text = (DEPLOY.parent / "run" / "metrics.py").read_text()
    counters = set(re.findall(r'counter\("(\w+)"', text))
    gauges = set(re.findall(r'Gauge\("reelshards_(\w+)"', text))
    wanted = {f"{name}_total" for name in counters} | gauges
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            shown |= set(re.findall(r"ray_reelshards_(\w+)", target["expr"]))
    assert shown == wanted


@pytest.fixture
def metrics_url() -> Iterator[str]:
    """Where a Ray on this machine exports its metrics to Prometheus."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Metrics accumulate over all runs on one Ray; this Ray has had no other run.
    often = {"metrics_report_interval_ms": 500}
    with running(_metrics_export_port=port, _system_config=often):
        yield f"http://127.0.0.1:{port}/metrics"


def scraped(url: str) -> dict[str, dict[str, float]]:
    """Our metrics as scraped by Prometheus: values by name, then by the label of interest."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("ray_reelshards_")
            if name != sample.name:
                labels = [sample.labels.get(key) for key in ("status", "error_class", "task")]
                found.setdefault(name, {})["".join(filter(None, labels))] = sample.value
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_prometheus_gets_every_metric_of_a_run(tmp_path: Path, metrics_url: str) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    make_film(films / "good.mp4", Film(seconds=9))
    (films / "broken.mp4").write_bytes(b"no film")
    (films / "gone.mp4").symlink_to(films / "nowhere.mp4")
    options = ["--max-attempts", "2", "--retry-seconds", "0.01"]
    assert preprocess(films, out, *options) == 1
    (row,) = [row for row in movie_rows(open_dataset(str(out)).movies) if row.status == "done"]
    deadline = time.monotonic() + 60
    # The last counts may still be in transit; counters are exported once they are not zero.
    while (found := scraped(metrics_url)).get("movies_total", {}).get("done") != 1:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    dashboard = (DEPLOY / "grafana.json").read_text()
    # A run on CPUs has no fallbacks to count.
    shown = set(re.findall(r"ray_reelshards_(\w+)", dashboard)) - {"hardware_fallbacks_total"}
    assert shown == set(found)
    assert found["movies_total"] == {"done": 1, "quarantined": 1, "failed": 1}
    assert found["failures_total"] == {"unreadable": 1, "source_unavailable": 1}
    assert found["retries_total"] == {"source_unavailable": 1}
    assert found["clips_total"] == {"": row.num_clips}
    assert found["shard_bytes_total"] == {"": row.shard_bytes}
    assert found["movie_seconds_decoded_total"][""] == pytest.approx(9, abs=1.5)
    assert found["ffmpeg_cpu_seconds_total"][""] == pytest.approx(row.decode_seconds, abs=0.01)
    tasks = found["task_cpu_seconds_total"]
    assert set(tasks) == {"prepare", "segment", "audio", "write"}
    assert tasks["segment"] + tasks["audio"] > row.decode_seconds
    assert found["tasks_queued"][""] >= 0
    assert found["worker_peak_rss_bytes"][""] > 50e6
