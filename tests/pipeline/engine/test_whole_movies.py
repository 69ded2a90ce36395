"""Runs decode a movie in full if one of its segments reports anything about a selective decoder."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.ffmpeg import filters_packets
from tests.support.datasets.outcome import digests
from tests.support.films import damage
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.skipif(not filters_packets(), reason="needs ffmpeg 7.1 or later"),
]
VIDEO = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An intact movie, and one with damage in a keyframe near its end."""
    folder = tmp_path_factory.mktemp("corpus")
    film = Film(seconds=16, gop=25, video=(*VIDEO, "-x264-params", "b-adapt=0"))
    intact = make_film(folder / "intact.mp4", film)
    data = bytearray(intact.read_bytes())
    keys = [(pos, size) for pos, size, is_key in damage.pictures(intact) if is_key]
    pos, size = keys[-3]
    data[pos + size // 2 : pos + size] = random.Random(1).randbytes(size - size // 2)
    (folder / "damaged.mp4").write_bytes(bytes(data))
    return folder


@pytest.mark.parametrize("clips", ["uniform", "shots"])
def test_one_report_concerns_all_segments(clips: str, corpus: Path, tmp_path: Path) -> None:
    """Also those that were decoded before it, by other tasks."""
    options = ("--clips", clips, "--workers", "2")
    exact, full = tmp_path / "exact", tmp_path / "full"
    assert preprocess(corpus, exact, *options, "--segment-seconds", "2") == 0
    assert preprocess(corpus, full, *options, "--decode", "full") == 0
    assert digests(exact) == digests(full)
    rows = {
        row["movie_id"]: row for row in pq.read_table(exact / "index/movies.parquet").to_pylist()
    }
    assert rows["damaged"]["dropped_damaged"] > 0
    assert (rows["damaged"]["decode_mode"], rows["damaged"]["frames_left_out"]) == ("full", 0)
    assert rows["intact"]["decode_mode"] == "selective"
    assert 100 < rows["intact"]["frames_left_out"] < 200
    modes = pq.read_table(full / "index/movies.parquet")["decode_mode"].to_pylist()
    assert modes == ["full", "full"]
