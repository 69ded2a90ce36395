"""Runs decode a movie in full if one of its segments reports anything about a selective decoder.

The same in fast mode, which is part of the recipe.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.__main__ import main
from pipeline.ffmpeg.binaries import filters_packets
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation import validate
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


def _rows(dataset: Path) -> dict[str, dict[str, object]]:
    rows = pq.read_table(dataset / "index/movies.parquet").to_pylist()
    return {row["movie_id"]: row for row in rows}


def _contents(dataset: Path) -> list[dict[str, object]]:
    """What is known about all clips except where they are stored."""
    columns = ["clip_id", "first_frame_pts_ns", "luma_mean", "luma_std", "motion"]
    table = pq.read_table(dataset / "index/clips.parquet", columns=columns)
    return sorted(table.to_pylist(), key=lambda row: str(row["clip_id"]))


@pytest.fixture(scope="module")
def datasets(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus in fast and in exact mode."""
    folder = tmp_path_factory.mktemp("datasets")
    for mode in ("fast", "exact"):
        assert preprocess(corpus, folder / mode, "--workers", "2", "--decode", mode) == 0
    return folder


def test_fast_mode_says_how_frames_differ(datasets: Path) -> None:
    fast, exact = _rows(datasets / "fast"), _rows(datasets / "exact")
    assert fast["intact"]["decode_mode"] == "fast"
    assert fast["intact"]["frames_left_out"] > exact["intact"]["frames_left_out"]  # type: ignore[operator]
    assert fast["intact"]["fast_time_error_ms"] == 40.0
    assert 0.3 < fast["intact"]["fast_min_ssim"] <= fast["intact"]["fast_ssim"] < 1.0  # type: ignore[operator]
    # A damaged movie is decoded exactly, and loses the same clips.
    for column in ("decode_mode", "dropped_damaged", "num_clips", "fast_ssim"):
        assert fast["damaged"][column] == exact["damaged"][column]
    assert fast["damaged"]["fast_ssim"] is None
    assert exact["intact"]["fast_time_error_ms"] is None
    assert validate(str(datasets / "fast")).ok
    assert validate(str(datasets / "exact")).ok


def test_another_mode_processes_all_movies_again(
    corpus: Path, datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(datasets / "exact", out)
    assert preprocess(corpus, out, "--decode", "full") == 0
    assert "2 of these were already there" in capsys.readouterr().out
    assert main(["retry", str(out), "--decode", "fast"]) == 2
    assert "was not made with `--decode fast`" in capsys.readouterr().err
    assert preprocess(corpus, out, "--decode", "fast") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "2 processed again because the recipe changed (fast_decode False -> True)" in text
    assert _contents(out) == _contents(datasets / "fast") != _contents(datasets / "exact")
    assert preprocess(corpus, out, "--decode", "fast") == 0
    assert "2 of these were already there" in capsys.readouterr().out
    # The recipe of the dataset counts.
    assert main(["retry", str(out)]) == 0
    assert open_dataset(str(out)).recipe.fast_decode
    capsys.readouterr()
    assert preprocess(corpus, out) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "because the recipe changed (fast_decode True -> False)" in text
    assert _contents(out) == _contents(datasets / "exact")
