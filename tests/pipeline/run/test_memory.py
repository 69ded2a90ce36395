"""Runs in which ffmpeg lacks memory: the same bytes with more of it, and no verdict without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards_spec.dataset.reader import open_dataset
from tests.support.datasets.outcome import digests
from tests.support.films.media import ffmpeg
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

#: Few frames, so that each may be large.
SHORT = ("--fps", "1", "--num-frames", "2")


def make_large(path: Path) -> Path:
    """A movie of two frames of 67 MB each, in one buffer, that are decoded in no time."""
    picture = "testsrc2=s=64x64:r=1:d=2,scale=4096:4112:flags=neighbor,format=argb"
    sources = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=440:d=2")
    ffmpeg(*sources, "-c:v", "qtrle", "-c:a", "aac", "-threads", "1", path)
    return path


def retries(log: Path) -> list[str]:
    """The error classes of a run's retries."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [event["error_class"] for event in events if event["event"] == "retry"]


@pytest.mark.usefixtures("local_ray")
def test_a_movie_that_lacks_memory_gets_more(tmp_path: Path) -> None:
    """ffmpeg's limit doubles with each attempt: less than a single frame at first, enough later."""
    films, out, whole, log = (tmp_path / name for name in ("films", "out", "whole", "log.jsonl"))
    films.mkdir()
    make_large(films / "a.mov")
    # 64 MB: the rule for single allocations holds from the start, that for all of them soon after.
    limited = ("--ffmpeg-memory-gib", "0.06", "--max-attempts", "6", "--retry-seconds", "0.01")
    assert preprocess(films, out, *SHORT, *limited, "--log-json", str(log)) == 0
    (row,) = open_dataset(str(out)).movies.to_pylist()
    assert row["status"] == "done"
    assert row["attempts"] > 1
    assert retries(log)
    assert set(retries(log)) <= {"out_of_memory", "killed"}
    assert preprocess(films, whole, *SHORT, "--ffmpeg-memory-gib", "0") == 0
    assert digests(out) == digests(whole)
