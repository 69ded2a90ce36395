"""What onlookers get: logs, status, the dashboard."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import lease, status
from pipeline.eventlog import EventLog
from pipeline.jobs import Event
from pipeline.progress import Progress, Recorder
from shards_spec.errors import InputError
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

DEPLOY = Path(__file__).parents[2] / "pipeline" / "deploy"


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
        log.write(Event("started", "a"))
        log.write(
            Event("retry", "a", message="x", unit="segment 3", attempt=1, error_class="timed_out")
        )
        log.write(Event("finished", "a", row=row))
    started, retry, finished = map(json.loads, path.read_text().splitlines())
    assert started == {"time": 12.346, "event": "started", "movie_id": "a"}
    assert (retry["task"], retry["attempt"], retry["error_class"]) == ("segment 3", 1, "timed_out")
    assert (finished["status"], finished["attempts"]) == ("quarantined", 2)
    assert finished["message"] == "a.mp4: too large"
    with pytest.raises(InputError, match="cannot write the log"):
        EventLog(str(tmp_path / "no" / "log.jsonl"))


def test_status_tells_the_running_from_the_dead(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    console = Console(record=True, width=200)
    with pytest.raises(InputError, match="holds no run"):
        status.watch(storage, console)
    progress = Progress("films", time.time(), time.time(), "running", 3, 1)
    Recorder(storage).write(progress, now=True)
    status.watch(storage, console)
    assert "dead (killed; run again to go on): movies 1/3" in console.export_text()
    looks = []
    with lease.held(storage) as held:

        def look(_: float) -> None:
            looks.append(1)
            if len(looks) == 2:
                held.release()

        status.watch(storage, console, sleep=look)
    assert "running on " in console.export_text()
    assert len(looks) == 2


def test_the_dashboard_shows_metrics_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    text = (DEPLOY.parent / "metrics.py").read_text()
    counters = set(re.findall(r'counter\("(\w+)"', text))
    gauges = set(re.findall(r'Gauge\("reelshards_(\w+)"', text))
    wanted = {f"{name}_total" for name in counters} | gauges
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            shown |= set(re.findall(r"ray_reelshards_(\w+)", target["expr"]))
    assert shown == wanted
