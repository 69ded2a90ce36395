"""The files: real, deterministic, complete, and not rendered twice."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.demo import DemoConfig, make_demo_corpus
from pipeline.demo.encode import encode_movie
from pipeline.demo.scenario import plan_movies
from pipeline.ffmpeg.binaries import ffmpeg_path, ffprobe_path
from shards_spec.errors import InputError, ReelshardsError

TINY = DemoConfig(
    num_movies=2,
    min_seconds=5.0,
    max_seconds=6.0,
    mean_shot_seconds=1.0,
    width=128,
    height=72,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("corpus")
    make_demo_corpus(directory, TINY, num_workers=1)
    return directory


def _probe(path: Path) -> dict[str, Any]:
    command = [ffprobe_path(), "-v", "error", "-show_streams", "-show_format", "-of", "json"]
    answer: dict[str, Any] = json.loads(subprocess.check_output([*command, str(path)]))
    return answer


def test_files_match_their_plan(corpus: Path) -> None:
    for movie in plan_movies(TINY):
        answer = _probe(corpus / movie.name)
        video, audio = answer["streams"]
        assert (video["codec_name"], audio["codec_name"]) == ("h264", "aac")
        assert (video["width"], video["height"]) == (128, 72)
        assert Fraction(video["r_frame_rate"]) == movie.fps
        assert int(video["nb_frames"]) == movie.num_frames
        seconds = movie.seconds(movie.num_frames)
        assert float(video["duration"]) == pytest.approx(seconds, abs=0.002)
        assert float(audio["duration"]) == pytest.approx(seconds, abs=0.05)


def test_decoded_audio_does_not_clip(corpus: Path) -> None:
    for path in sorted(corpus.glob("*.mp4")):
        pcm = [ffmpeg_path(), "-v", "error", "-i", str(path), "-f", "f32le", "-"]
        sound = np.frombuffer(subprocess.check_output(pcm), np.float32)
        assert 0.1 < np.abs(sound).max() < 10 ** (-1 / 20)


def test_labels_cover_each_movie_without_gaps(corpus: Path) -> None:
    with (corpus / "labels.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == ["source", "start_seconds", "end_seconds", "label"]
    keys = [(row["source"], float(row["start_seconds"])) for row in rows]
    assert keys == sorted(keys)
    for movie in plan_movies(TINY):
        own = [row for row in rows if row["source"] == movie.name]
        stops = [row["end_seconds"] for row in own]
        assert [row["start_seconds"] for row in own] == ["0.000000", *stops[:-1]]
        assert float(stops[-1]) == pytest.approx(movie.seconds(movie.num_frames), abs=1e-6)


def test_same_settings_same_bytes_for_any_number_of_workers(corpus: Path, tmp_path: Path) -> None:
    make_demo_corpus(tmp_path, TINY, num_workers=2)
    names = sorted(path.name for path in corpus.iterdir())
    assert names == ["corpus.json", "labels.csv", "movie-000.mp4", "movie-001.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes()


def test_only_missing_movies_are_rendered_and_other_settings_replace_all(tmp_path: Path) -> None:
    first = dataclasses.replace(TINY, min_seconds=1.0, max_seconds=1.0)
    paths = make_demo_corpus(tmp_path, first, num_workers=1)
    before = [(path.stat().st_ino, path.read_bytes()) for path in paths]
    paths[1].unlink()
    reported: list[str] = []
    assert make_demo_corpus(tmp_path, first, on_movie=reported.append, num_workers=1) == paths
    assert reported == [path.name for path in paths]
    assert (paths[0].stat().st_ino, paths[1].read_bytes()) == (before[0][0], before[1][1])

    # A setting that a record of an earlier version lacks has its default.
    record = json.loads((tmp_path / "corpus.json").read_text())
    del record["settings"]["appearances"]
    (tmp_path / "corpus.json").write_text(json.dumps(record))
    make_demo_corpus(tmp_path, first, num_workers=1)
    assert paths[0].stat().st_ino == before[0][0]

    other = dataclasses.replace(first, seed=1, num_movies=1)
    assert make_demo_corpus(tmp_path, other, num_workers=1) == paths[:1]
    assert paths[0].read_bytes() != before[0][1]
    assert not paths[1].exists()


def test_a_folder_with_other_movies_is_rejected(tmp_path: Path) -> None:
    film = tmp_path / "movie-000.mp4"
    film.write_bytes(b"precious")
    with pytest.raises(InputError, match="choose another folder"):
        make_demo_corpus(tmp_path, TINY)
    assert film.read_bytes() == b"precious"


def test_a_file_in_place_of_the_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot use"):
        make_demo_corpus(tmp_path / "file", TINY)


def test_a_failing_encoder_leaves_nothing_and_is_explained(tmp_path: Path) -> None:
    def odd_frames() -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
        for _ in range(100):
            yield np.zeros(65 * 65 * 3 // 2, np.uint8)

    with pytest.raises(ReelshardsError, match=r"could not write .*divisible by 2"):
        encode_movie(
            tmp_path / "odd.mp4",
            odd_frames(),
            np.zeros(32_000, np.float32),
            fps=Fraction(25),
            width=65,
            height=65,
        )
    assert list(tmp_path.iterdir()) == []
