"""Datasets rebuilt from their lockfiles: from the same files, and from copies of many kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.__main__ import main
from pipeline.movie.alone import shard_movie
from pipeline.rebuild import Settings, Summary, rebuild
from pipeline.sources.corpus import local_movie
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.lockfile.lock import Lock
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.errors import InputError
from shards_spec.storage import Storage
from tests.support.films.melodies import RECIPE, make_copy, make_movie

SECONDS = 9.0


@dataclass(frozen=True)
class Original:
    file: Path
    data: Path
    lock: Lock


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """A movie of 5 clips, its dataset, and the lock of that."""
    folder = tmp_path_factory.mktemp("original")
    file = make_movie(folder / "A Movie.mp4", SECONDS, seed=1)
    data = folder / "data"
    shard_movie(local_movie(str(file), file.name), RECIPE, Storage(str(data), create=True))
    write_lock(str(folder / "a.lock"), lock_dataset(open_dataset(str(data))))
    return Original(file, data, read_lock(str(folder / "a.lock")))


def rebuilt(original: Original, copies: Path, out: Path) -> Summary:
    return rebuild(original.lock, str(copies), str(out), Settings(threads=1))


def statuses(summary: Summary) -> dict[str, int]:
    names = ("identical", "aligned", "other_audio", "poor_fit", "missing")
    return {name: summary.count(name) for name in names if summary.count(name)}


def files(folder: Path) -> dict[str, bytes]:
    """Content of shards and of the table of clips, by path."""
    paths = [*folder.glob("shards/**/*.tar"), folder / "index" / "clips.parquet"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_same_file_gives_the_same_bytes(original: Original, tmp_path: Path) -> None:
    copies = tmp_path / "mine"
    copies.mkdir()
    (copies / "another name.mkv").write_bytes(original.file.read_bytes())
    summary = rebuilt(original, copies, tmp_path / "out")
    assert statuses(summary) == {"identical": 5}
    assert summary.is_complete
    assert files(tmp_path / "out") == files(original.data)
    # Run again, nothing is made again.
    (commit,) = (tmp_path / "out" / "commits").iterdir()
    before = commit.stat().st_mtime_ns
    assert rebuilt(original, copies, tmp_path / "out").is_complete
    assert commit.stat().st_mtime_ns == before


#: Options of ffmpeg that make a copy; then clips that it has, its speed, and the offset in seconds
#: of the original.
COPIES = {
    "late": ("-vf tpad=start_duration=2.4 -af adelay=2400:all=1", 5, 1.0, 2.4),
    "fast": ("-vf setpts=PTS*24/25 -af asetrate=16000*25/24,aresample=16000", 5, 25 / 24, 0.0),
    "fast, same pitch": ("-vf setpts=PTS*24/25 -af atempo=25/24", 5, 25 / 24, 0.0),
    "slow": ("-vf setpts=PTS*25/24 -af asetrate=16000*24/25,aresample=16000", 5, 24 / 25, 0.0),
    "small, quiet and coarse": ("-vf scale=48:32 -crf 40 -af volume=0.2 -b:a 24k", 5, 1.0, 0.0),
    "without its end": ("-t 5.5", 3, 1.0, 0.0),
    "without its start": ("-ss 3.2", 3, 1.0, -3.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("name", COPIES)
def test_copies_are_recognized_and_aligned(
    original: Original, tmp_path: Path, name: str, suffix: str
) -> None:
    options, num_clips, speed, offset = COPIES[name]
    # AVI cannot say that a decoder adds a delay, which would be one between audio and video.
    audio = ["-c:a", "pcm_s16le"] if suffix == "avi" else []
    make_copy(tmp_path / f"copy.{suffix}", original.file, *options.split(), *audio)
    make_movie(tmp_path / "stranger.mp4", 8, seed=2)
    summary = rebuilt(original, tmp_path, tmp_path / "out")
    (movie,) = summary.movies
    assert movie.copy_name == f"copy.{suffix}"
    assert statuses(summary).get("aligned", 0) >= num_clips - 1
    for clip in movie.clips:
        if clip.status == "aligned":
            assert clip.speed == pytest.approx(speed, rel=1e-3)
            expected = (clip.start_ns / 1e9 + offset) / speed
            assert clip.copy_start_ns is not None
            assert clip.copy_start_ns / 1e9 == pytest.approx(expected, abs=0.03)
            assert clip.audio_fit is not None
            assert clip.audio_fit > 0.5
    assert validate(str(tmp_path / "out")).ok
    assert summary.count("poor_fit") + summary.count("missing") == sum(
        bool(clip.reason) for clip in movie.clips
    )


@pytest.mark.slow
def test_other_movies_are_not_copies(original: Original, tmp_path: Path) -> None:
    make_movie(tmp_path / "A Movie.mp4", SECONDS, seed=3)
    make_movie(tmp_path / "short.mp4", 2, seed=4)
    make_copy(tmp_path / "audio.mka", original.file, "-vn")
    summary = rebuilt(original, tmp_path, tmp_path / "out")
    assert statuses(summary) == {"missing": 5}
    assert not list((tmp_path / "out").glob("shards/**/*"))
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.slow
def test_the_same_music_over_another_video_fits_poorly(original: Original, tmp_path: Path) -> None:
    other = make_movie(tmp_path / "video.mkv", SECONDS, seed=5)
    source = ("-i", str(original.file), "-map", "0:v", "-map", "1:a", "-vf", "negate,hflip")
    make_copy(tmp_path / "both.mp4", other, *source)
    other.unlink()
    summary = rebuilt(original, tmp_path, tmp_path / "out")
    assert statuses(summary) == {"poor_fit": 5}
    assert {clip.reason for clip in summary.movies[0].clips} == {"the frames show something else"}


@pytest.mark.slow
def test_a_dataset_of_something_else_is_refused(original: Original, tmp_path: Path) -> None:
    lock = replace(original.lock, movies=[replace(original.lock.movies[0], movie_id="other")])
    with pytest.raises(InputError, match="not of this lockfile"):
        rebuild(lock, str(original.file), str(original.data))


def test_reports_list_every_clip(original: Original, tmp_path: Path) -> None:
    stranger = make_movie(tmp_path / "stranger.mp4", 2, seed=6)
    lock, out = original.data.parent / "a.lock", tmp_path / "out"
    assert main(["rebuild", str(lock), "--from", str(stranger), "--out", str(out)]) == 1
    (path,) = (tmp_path / "out" / "rebuild").iterdir()
    rows = pq.read_table(path).to_pylist()
    assert [row["status"] for row in rows] == ["missing"] * 5
    assert {row["reason"] for row in rows} == {"no copy of it was found"}
