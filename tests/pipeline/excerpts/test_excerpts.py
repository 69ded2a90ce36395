"""Windows of short files: the same bytes as the clips of a movie, and files that are not movies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import (
    MovieError,
    NoAudioStreamError,
    NoVideoStreamError,
    SourceError,
    TooLargeError,
)
from pipeline.excerpts import read_excerpts
from pipeline.movie.alone import shard_movie
from pipeline.sources.corpus import find_movies
from shards_spec.dataset.reader import open_dataset
from shards_spec.recipe import Recipe
from shards_spec.sample import decode_strip
from shards_spec.storage import Storage
from tests.support.films.media import Film, ffmpeg, make_film, read_number

RECIPE = Recipe(
    num_frames=4, fps=5.0, short_side=48, n_mels=16, crop_bars=False, frozen_motion=-1.0,
    silent_dbfs=-200.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips long: 1.6 s at 25 fps."""
    path = tmp_path_factory.mktemp("excerpts") / "two clips.mkv"
    return make_film(path, Film(seconds=1.6, width=96, audio=("-c:a", "flac")))


def test_windows_are_the_clips_of_the_movie(movie: Path, tmp_path: Path) -> None:
    [found] = find_movies(str(movie))
    shard_movie(found, RECIPE, Storage(str(tmp_path), create=True))
    dataset = open_dataset(str(tmp_path))
    starts = dataset.clips["start_ns"].to_pylist()
    ids = dataset.clips["clip_id"].to_pylist()
    clips = [dataset.clip(ids[row]) for row in np.argsort(starts).tolist()]
    windows = read_excerpts(movie, RECIPE, 2, video=True, audio=True)
    assert windows.strips is not None
    assert windows.logmel is not None
    assert len(clips) == len(windows.strips) == 2
    for clip, strip, logmel in zip(clips, windows.strips, windows.logmel, strict=True):
        np.testing.assert_array_equal(decode_strip(strip, 4), clip.frames)
        np.testing.assert_array_equal(logmel, clip.logmel)


@pytest.mark.parametrize(("count", "expected"), [(1, [10]), (2, [0, 20]), (99, [0, 5, 10, 15, 20])])
def test_windows_are_evenly_spaced(movie: Path, count: int, expected: list[int]) -> None:
    windows = read_excerpts(movie, RECIPE, count, video=True, audio=False)
    assert windows.logmel is None
    assert windows.strips is not None
    firsts = [read_number(decode_strip(strip, 4)[0]) for strip in windows.strips]
    assert firsts == expected


def test_a_short_file_is_repeated(tmp_path: Path) -> None:
    film = Film(seconds=0.4, width=96, audio=("-c:a", "pcm_s16le"), fps=Fraction(10))
    path = make_film(tmp_path / "short.avi", film)
    windows = read_excerpts(path, RECIPE, 10, video=True, audio=True)
    assert windows.strips is not None
    assert windows.logmel is not None
    assert len(windows.strips) == len(windows.logmel) == 1
    numbers = [read_number(frame) for frame in decode_strip(windows.strips[0], 4)]
    assert numbers == [0, 2, 0, 2]
    # The tone of the repeat sounds as in the first part.
    loudest = windows.logmel[0].astype(np.float32).max(axis=0)
    assert abs(loudest[:40].max() - loudest[40:].max()) < 0.5


def test_audio_keeps_its_time_against_the_video(tmp_path: Path) -> None:
    late, plain = tmp_path / "late.mkv", tmp_path / "plain.mkv"
    make_film(plain, Film(seconds=1.6, width=96, audio=("-c:a", "flac")))
    shifted = ("-i", plain, "-itsoffset", "0.4", "-i", plain)
    ffmpeg(*shifted, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    first, second = (
        read_excerpts(path, RECIPE, 1, video=True, audio=True).logmel for path in (plain, late)
    )
    assert first is not None
    assert second is not None
    moved = 40
    np.testing.assert_allclose(
        second[0, :, moved + 2 : -2].astype(np.float32),
        first[0, :, 2 : -2 - moved].astype(np.float32),
        atol=1.5,
    )


def test_files_with_audio_alone(tmp_path: Path) -> None:
    rate = 44_100
    tone = np.sin(np.arange(3 * rate) * 2 * np.pi * 440 / rate) * np.linspace(0.1, 1, 3 * rate)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), rate)
    windows = read_excerpts(tmp_path / "tone.wav", RECIPE, 4, video=False, audio=True)
    assert windows.strips is None
    assert windows.logmel is not None
    assert windows.logmel.shape == (4, 16, RECIPE.num_mel_frames)
    levels = windows.logmel.astype(np.float32).max(axis=1).mean(axis=1)
    assert (np.diff(levels) > 0).all()
    with pytest.raises(NoVideoStreamError, match=r"tone\.wav: no video"):
        read_excerpts(tmp_path / "tone.wav", RECIPE, 4, video=True, audio=True)


def test_unusable_files_are_named(movie: Path, tmp_path: Path) -> None:
    silent, broken, empty = (tmp_path / name for name in ("silent.mp4", "broken.avi", "empty.mp4"))
    ffmpeg("-i", movie, "-an", "-c", "copy", silent)
    broken.write_bytes(b"RIFF" + bytes(200))
    empty.touch()
    with pytest.raises(NoAudioStreamError, match=r"silent\.mp4: no audio"):
        read_excerpts(silent, RECIPE, 2, video=True, audio=True)
    for path in (broken, empty):
        with pytest.raises(MovieError, match=path.name):
            read_excerpts(path, RECIPE, 2, video=True, audio=False)
    with pytest.raises(SourceError, match="gone"):
        read_excerpts(tmp_path / "gone.avi", RECIPE, 2, video=True, audio=False)
    soundfile.write(tmp_path / "long.wav", np.zeros(130 * 4_000, np.float32), 4_000)
    with pytest.raises(TooLargeError, match=r"long\.wav: 130 s"):
        read_excerpts(tmp_path / "long.wav", RECIPE, 2, video=False, audio=True)
