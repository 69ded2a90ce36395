"""Copies whose audio is not that of the movie: recognized by their video and reported as such."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.movie.alone import shard_movie
from pipeline.rebuild import Settings, rebuild
from pipeline.sources.corpus import local_movie
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.schema.dropped import REBUILD_REASONS
from shards_spec.storage import Storage
from tests.support.films.melodies import RECIPE, make_copy, make_movie

SECONDS = 17.0
NUM_CLIPS = 10


@dataclass(frozen=True)
class Original:
    file: Path
    lock: Lock
    other: Path
    """Another movie of the same length."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("original")
    file = make_movie(folder / "A Movie.mp4", SECONDS, seed=11)
    other = make_movie(folder / "other.mp4", SECONDS, seed=12)
    data = folder / "data"
    shard_movie(local_movie(str(file), file.name), RECIPE, Storage(str(data), create=True))
    return Original(file, lock_dataset(open_dataset(str(data))), other)


#: ffmpeg's options, the minimum number of clips that must be found, the copy's speed, and its
#: offset in seconds of the original.
COPIES = {
    "muted": ("-an", 10, 1.0, 0.0),
    "silent, late": ("-vf tpad=start_duration=2.4 -af volume=0,adelay=2400:all=1", 9, 1.0, 2.4),
    "muted, fast": ("-an -vf setpts=PTS*24/25 -r 25", 9, 25 / 24, 0.0),
    "muted, slow": ("-an -vf setpts=PTS*25/24 -r 24", 9, 24 / 25, 0.0),
    "muted, gray": ("-an -vf hue=s=0,eq=contrast=0.8:brightness=0.05", 9, 1.0, 0.0),
    "muted, boxed": ("-an -vf pad=96:96:0:16", 9, 1.0, 0.0),
    "muted, pillars": ("-an -vf pad=160:64:32:0", 9, 1.0, 0.0),
    "muted, cropped": ("-an -vf crop=iw*0.98:ih*0.98", 8, 1.0, 0.0),
    "muted, 15 fps": ("-an -vf fps=15", 8, 1.0, 0.0),
    "muted, 50 fps": ("-an -vf fps=50", 9, 1.0, 0.0),
    "muted, without its start": ("-an -ss 4.2", 6, 1.0, -4.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIES)
def test_copies_without_the_audio(original: Original, tmp_path: Path, name: str) -> None:
    options, num_clips, speed, offset = COPIES[name]
    make_copy(tmp_path / "copy.mp4", original.file, *options.split())
    summary = rebuild(original.lock, str(tmp_path), str(tmp_path / "out"), Settings(threads=1))
    (movie,) = summary.movies
    assert not movie.num_made
    assert movie.count("aligned") == 0
    fitting = [clip for clip in movie.clips if clip.status == "other_audio"]
    assert len(fitting) >= num_clips
    for clip in fitting:
        assert clip.matched_by == "video"
        assert "the video fits" in clip.reason
        assert clip.frame_fit is not None
        assert clip.frame_fit > 0.5
        assert clip.speed == pytest.approx(speed, rel=0.01)
        assert clip.copy_start_ns is not None
        expected = (clip.start_ns / 1e9 + offset) / speed
        assert clip.copy_start_ns / 1e9 == pytest.approx(expected, abs=0.2)


@pytest.mark.slow
def test_a_dubbed_copy_is_not_a_perfect_fit(original: Original, tmp_path: Path) -> None:
    other = ("-i", str(original.other), "-map", "0:v", "-map", "1:a")
    make_copy(tmp_path / "dubbed.mp4", original.file, *other)
    out = tmp_path / "out"
    summary = rebuild(original.lock, str(tmp_path), str(out), Settings(threads=1))
    assert summary.count("other_audio") == NUM_CLIPS
    assert not summary.is_complete
    # On request the clips are made, and are still reported as having other audio.
    keep = Settings(threads=1, keep_other_audio=True)
    kept = rebuild(original.lock, str(tmp_path), str(out), keep)
    assert kept.is_complete
    assert {clip.status for clip in kept.movies[0].clips} == {"other_audio"}
    assert validate(str(out)).ok


@pytest.mark.slow
def test_the_original_track_is_preferred_to_a_dubbed_one(
    original: Original, tmp_path: Path
) -> None:
    other = ("-i", str(original.other), "-map", "0:v", "-map", "1:a", "-map", "0:a")
    make_copy(tmp_path / "both.mkv", original.file, *other)
    summary = rebuild(original.lock, str(tmp_path), str(tmp_path / "out"), Settings(threads=1))
    assert summary.count("aligned") == NUM_CLIPS


@pytest.mark.slow
def test_replaced_music_in_the_middle_is_noticed(original: Original, tmp_path: Path) -> None:
    silent = "volume=0:enable='between(t,5,10)'"
    make_copy(tmp_path / "copy.mp4", original.file, "-af", silent)
    summary = rebuild(original.lock, str(tmp_path), str(tmp_path / "out"), Settings(threads=1))
    (movie,) = summary.movies
    for clip in movie.clips:
        inside = clip.start_ns >= 5e9 and clip.end_ns <= 10e9
        outside = clip.end_ns <= 5e9 or clip.start_ns >= 10e9
        if inside or outside:
            assert clip.status == ("other_audio" if inside else "aligned"), clip


@pytest.mark.slow
def test_a_movie_in_two_files_is_made_of_both(original: Original, tmp_path: Path) -> None:
    make_copy(tmp_path / "cd1.mp4", original.file, "-t", "8.8")
    make_copy(tmp_path / "cd2.mkv", original.file, "-ss", "8.2")
    out = tmp_path / "out"
    summary = rebuild(original.lock, str(tmp_path), str(out), Settings(threads=1))
    (movie,) = summary.movies
    assert summary.count("aligned") >= NUM_CLIPS - 1
    assert {clip.copy_name for clip in movie.clips if clip.in_dataset} == {"cd1.mp4", "cd2.mkv"}
    assert validate(str(out)).ok


def _absent(movie: LockedMovie) -> LockedMovie:
    """Another movie with as many clips, without a copy."""
    rng = np.random.default_rng(5)
    words = {
        name: rng.integers(1, 1 << 63, getattr(movie.clips, name).shape, np.uint64)
        for name in ("audio_words", "frame_words")
    }
    clips = replace(movie.clips, **words)
    return replace(movie, movie_id="zzz_absent", source_fingerprint="0" * 16, clips=clips)


@pytest.mark.slow
def test_what_is_left_out_is_listed_with_its_reason(original: Original, tmp_path: Path) -> None:
    make_copy(tmp_path / "part.mp4", original.file, "-t", "9.5")
    out = tmp_path / "out"
    (first,) = original.lock.movies
    lock = replace(original.lock, movies=[first, _absent(first)])
    summary = rebuild(lock, str(tmp_path), str(out), Settings(threads=1))
    dataset = open_dataset(str(out))
    dropped = dataset.dropped()
    assert dropped is not None
    rows = [row for row in dropped.to_pylist() if row["reason"] in REBUILD_REASONS]
    left_out = [clip for movie in summary.movies for clip in movie.clips if not clip.in_dataset]
    assert left_out
    assert {(row["movie_id"], row["start_ns"], row["reason"]) for row in rows} == {
        (clip.movie_id, clip.start_ns, clip.status) for clip in left_out
    }
    assert dataset.movies["status"].to_pylist() == ["done", "failed"]
    assert validate(str(out)).ok
    # A worse copy does not replace what was made.
    before = {path.name: path.read_bytes() for path in out.glob("shards/**/*.tar")}
    (tmp_path / "part.mp4").unlink()
    make_copy(tmp_path / "shorter.mp4", original.file, "-t", "5.5")
    again = rebuild(lock, str(tmp_path / "shorter.mp4"), str(out), Settings(threads=1))
    assert again.movies[0].num_made == summary.movies[0].num_made
    assert {path.name: path.read_bytes() for path in out.glob("shards/**/*.tar")} == before
    # The whole movie completes it, in new shards.
    whole = rebuild(lock, str(original.file), str(out), Settings(threads=1))
    assert whole.movies[0].num_made == NUM_CLIPS
    assert validate(str(out)).ok
