"""`status` names every movie that is not whole, and why."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from pipeline.console.status import print_status
from shards_spec.schema import MovieRow

WHOLE = MovieRow(
    movie_id="whole",
    group="whole",
    source_uri="file:///movies/whole.mp4",
    source_bytes=1,
    source_fingerprint="0",
    recipe_fingerprint="0",
    status="done",
    num_clips=3,
)
SECOND = 1_000_000_000
#: What a movie lacks -> what is said of it.
PARTIAL: dict[str, tuple[dict[str, object], str]] = {
    "cut off": ({"missing_ns": 4 * SECOND}, "the last 4.0 s are missing"),
    "parts lost": ({"video_lost_ns": 7 * SECOND}, "7.0 s of video lost"),
    "damaged": ({"dropped_damaged": 2}, "2 clips with damaged frames dropped"),
    "audio ends": ({"audio_filled_ns": 3 * SECOND}, "3.0 s without audio"),
    "audio twice": ({"audio_cut_ns": 2 * SECOND}, "2.0 s of overlapping audio cut"),
    "no clips": ({"status": "skipped", "num_clips": 0, "error": "all silent"}, "all silent"),
    "no movie": ({"status": "quarantined", "num_clips": 0, "error": "not a movie"}, "not a movie"),
    "no store": ({"status": "failed", "num_clips": 0, "error": "store away"}, "store away"),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_a_movie_that_is_not_whole_is_named(case: str) -> None:
    values, reason = PARTIAL[case]
    partial = MovieRow.from_json(
        json.dumps({**json.loads(WHOLE.to_json()), **values, "movie_id": "partial"})
    )
    text = io.StringIO()
    print_status(Console(file=text, width=200), None, [WHOLE, partial], None)
    lines = [line for line in text.getvalue().splitlines() if "partial" in line]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "whole" not in text.getvalue().replace("not whole", "")
