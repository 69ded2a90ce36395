"""A complete real movie through the complete pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.schema.tables import clip_rows, movie_rows
from tests.support.films.real_films import big_buck_bunny

pytestmark = [
    pytest.mark.media,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
]


def test_big_buck_bunny(tmp_path: Path) -> None:
    film = big_buck_bunny()
    assert main(["preprocess", str(film), "--out", str(tmp_path), "--segment-seconds", "120"]) == 0
    dataset = open_dataset(str(tmp_path))
    (movie,) = movie_rows(dataset.movies)
    dropped = (
        movie.dropped_black + movie.dropped_silent + movie.dropped_frozen + movie.dropped_too_short
    )
    assert movie.num_clips + dropped == 186
    assert movie.num_clips > 170
    assert movie.duration_ns == pytest.approx(596_458_333_333, abs=1e6)
    assert (movie.video_width, movie.video_height, movie.crop) == (1280, 720, "")
    rows = clip_rows(dataset.clips)
    assert {(row.height, row.width) for row in rows} == {(128, 228)}
    # Shot ids rise with time, and the movie has a few hundred shots at most.
    shots = [row.shot_id for row in sorted(rows, key=lambda row: row.start_ns)]
    assert shots == sorted(shots)
    assert 50 < shots[-1] < 300
    assert validate(str(tmp_path)).ok
