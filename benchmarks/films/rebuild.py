"""How well `reelshards rebuild` recreates clips from other copies of a movie.

    python -m benchmarks.films.rebuild MOVIE FOLDER [STRANGER ...]

Copies of `MOVIE` are made in `FOLDER`, each is rebuilt from alone among the `STRANGER`s (other
movies, which are locked too and must not be filled from it), and every clip is compared with the
original one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import RunConfig
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.movie.fast_mode import ssim
from pipeline.rebuild import ClipReport, MovieReport, rebuild
from pipeline.run import preprocess
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.recipe import Recipe

_ENCODED = "-c:v libx264 -preset ultrafast -crf 28 -c:a aac -b:a 96k"
_CUT = (
    "[0:v]split[a][b];[a]trim=0:41.5,setpts=PTS-STARTPTS[a0];[b]trim=58.25,setpts=PTS-STARTPTS[b0];"
    "[0:a]asplit[c][d];[c]atrim=0:41.5,asetpts=PTS-STARTPTS[c0];"
    "[d]atrim=58.25,asetpts=PTS-STARTPTS[d0];[a0][c0][b0][d0]concat=n=2:v=1:a=1"
)


@dataclass(frozen=True)
class Case:
    """A kind of copy: second t of the movie is second (t + offset) / speed of it."""

    name: str
    file: str
    options: str
    speed: float = 1.0
    offset: float = 0.0
    cut: tuple[float, float] = (0.0, 0.0)
    """Range of the movie that the copy lacks."""


CASES = (
    Case("the same file", "same.mp4", ""),
    Case("another container", "remuxed.mkv", "-c copy"),
    Case(
        "encoded again, small",
        "small.mkv",
        "-vf scale=480:270 -c:v libx264 -preset ultrafast -crf 36 -c:a libopus -b:a 40k",
    ),
    Case(
        "starts 7.3 s later",
        "late.mp4",
        f"-vf tpad=start_duration=7.3 -af adelay=7300:all=1 {_ENCODED}",
        offset=7.3,
    ),
    Case(
        "25/24 faster, higher pitch",
        "pal.mp4",
        f"-vf setpts=PTS*24/25 -r 25 -af asetrate=44100*25/24,aresample=44100 {_ENCODED}",
        25 / 24,
    ),
    Case(
        "25/24 faster, same pitch",
        "pal_pitch.mp4",
        f"-vf setpts=PTS*24/25 -r 25 -af atempo=25/24 {_ENCODED}",
        25 / 24,
    ),
    Case(
        "24/25 slower, mono, quiet",
        "slow.mp4",
        "-vf setpts=PTS*25/24 -af asetrate=44100*24/25,aresample=44100,volume=0.2 -ac 1 "
        + _ENCODED,
        24 / 25,
    ),
    Case(
        "41.5 s to 58.25 s cut out",
        "cut.mp4",
        f"-filter_complex {_CUT} {_ENCODED}",
        cut=(41.5, 58.25),
    ),
    Case(
        "3 % faster, higher pitch",
        "odd.mp4",
        f"-vf setpts=PTS/1.03 -af asetrate=44100*1.03,aresample=44100 {_ENCODED}",
        1.03,
    ),
)


def main(movie: Path, folder: Path, strangers: list[Path]) -> None:
    """Print the rows of the result file."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    shutil.copy(movie, corpus / "movie.mp4")
    for stranger in strangers:
        shutil.copy(stranger, corpus / stranger.name)
    preprocess(str(corpus), str(folder / "data"), Recipe(), RunConfig(workers=2))
    original = open_dataset(str(folder / "data"))
    lock = lock_dataset(original)
    num_bytes = write_lock(str(folder / "movies.lock"), lock)
    _write(f"lockfile: {num_bytes:,} bytes, {lock.num_clips} clips")
    for case in CASES:
        copies = folder / case.file.replace(".", "_")
        copies.mkdir(exist_ok=True)
        _make(case, corpus / "movie.mp4", copies / case.file)
        out = folder / f"out_{copies.name}"
        began = time.monotonic()
        summary = rebuild(read_lock(str(folder / "movies.lock")), str(copies), str(out))
        seconds = time.monotonic() - began
        own = next(report for report in summary.movies if report.movie_id == "movie")
        false = sum(report.num_made for report in summary.movies if report is not own)
        _write(f"| {case.name} | {_row(case, own, original, out)} | {false} | {seconds:.0f} |")
    copies = folder / "strangers"
    copies.mkdir(exist_ok=True)
    for stranger in strangers:
        shutil.copy(stranger, copies / stranger.name)
    summary = rebuild(lock, str(copies), str(folder / "out_strangers"))
    own = next(report for report in summary.movies if report.movie_id == "movie")
    _write(f"only other movies: {own.num_made} clips of the movie made")


def _make(case: Case, movie: Path, copy: Path) -> None:
    if not case.options:
        shutil.copy(movie, copy)
        return
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", "-i", str(movie)]
    subprocess.run([*command, *case.options.split(), str(copy)], check=True)


def _row(case: Case, report: MovieReport, original: Dataset, out: Path) -> str:
    """The cells of a case."""
    made = [clip for clip in report.clips if clip.status in ("identical", "aligned")]
    low, high = case.cut
    possible = [c for c in report.clips if c.end_ns <= low * 1e9 or c.start_ns >= high * 1e9]
    wrong = [clip for clip in made if clip not in possible]
    if not made:
        return "not found | | | | | | | "
    errors = [1000 * abs(_expected(case, clip) - (clip.copy_start_ns or 0) / 1e9) for clip in made]
    speeds = [abs((clip.speed or 0.0) / case.speed - 1.0) for clip in made]
    fits = [clip.audio_fit for clip in made if clip.audio_fit is not None]
    rebuilt = open_dataset(str(out))
    similar, differences = [], []
    for clip in made:
        one, other = original.clip(clip.clip_id), rebuilt.clip(clip.clip_id)
        pairs = zip(one.frames, other.frames, strict=True)
        similar += [ssim(a.mean(axis=2), b.mean(axis=2)) for a, b in pairs]
        difference = one.logmel.astype(np.float32) - other.logmel.astype(np.float32)
        differences.append(float(np.abs(difference - difference.mean()).mean()))
    valid = "" if validate(str(out)).ok else " NOT VALID"
    return (
        f"{sum(c.status == 'identical' for c in made)} | {len(made)} of {len(possible)}{valid} | "
        f"{len(wrong)} | {np.median(errors):.1f}, {max(errors):.1f} | {max(speeds):.0e} | "
        f"{np.mean(fits):.2f}, {min(fits):.2f} | {np.mean(similar):.3f}, "
        f"{np.percentile(similar, 5):.3f} | {np.mean(differences):.2f}"
    )


def _expected(case: Case, clip: ClipReport) -> float:
    """Start of a clip in the copy, seconds."""
    start = clip.start_ns / 1e9
    if case.cut[1] and start >= case.cut[1]:
        start -= case.cut[1] - case.cut[0]
    return (start + case.offset) / case.speed


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
