"""Runs in which ffmpeg lacks memory: the same bytes with more of it, and no verdict without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards_spec.dataset.reader import open_dataset
from tests.support.datasets.outcome import digests
from tests.support.films.large import FRAME_GIB, make_large
from tests.support.films.media import ffmpeg
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

#: Few frames, so that each may be large.
SHORT = ("--fps", "1", "--num-frames", "2")
AT_ONCE = ("--retry-seconds", "0.01")
#: From less than ffmpeg needs to start, to more than the movie below needs. GiB.
LIMITS = (0.02, 0.04, 0.05, 0.055, 0.06, 0.065, 0.07, 0.08, 0.1, 0.2)


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
    # The limit of a single allocation holds from the start, that of all of them soon after.
    limited = ("--ffmpeg-memory-gib", f"{0.95 * FRAME_GIB}", "--max-attempts", "6", *AT_ONCE)
    assert preprocess(films, out, *SHORT, *limited, "--log-json", str(log)) == 0
    (row,) = open_dataset(str(out)).movies.to_pylist()
    assert row["status"] == "done"
    assert row["attempts"] > 1
    assert retries(log)
    assert set(retries(log)) <= {"out_of_memory", "killed"}
    assert preprocess(films, whole, *SHORT, "--ffmpeg-memory-gib", "0") == 0
    assert digests(out) == digests(whole)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("local_ray")
def test_memory_decides_whether_a_movie_is_done_not_what_it_shows(tmp_path: Path) -> None:
    """The same bytes at any limit, or no verdict: its black bars are seen, and no frame is lost."""
    films = tmp_path / "films"
    films.mkdir()
    picture = "testsrc2=s=1280x560:r=10:d=2.4,pad=1280:720:0:80"
    sources = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=440:d=2.4")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "5")
    ffmpeg(*sources, *coded, "-c:a", "aac", films / "a.mkv")
    assert preprocess(films, tmp_path / "whole", "--ffmpeg-memory-gib", "0") == 0
    wanted = digests(tmp_path / "whole")
    found = set()
    for limit in LIMITS:
        out = tmp_path / f"{limit:g}"
        options = ("--ffmpeg-memory-gib", f"{limit:g}", "--max-attempts", "1", *AT_ONCE)
        preprocess(films, out, *options, "--stop-after", "2")
        (row,) = open_dataset(str(out)).movies.to_pylist()
        found.add(row["error_class"])
        assert row["error_class"] in ("", "out_of_memory", "killed"), (limit, row)
        assert row["error_class"] or digests(out) == wanted, (limit, row)
    assert len(found) > 1
