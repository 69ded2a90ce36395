"""How well `reelshards rebuild` recreates clips from other copies of a movie.

    python -m benchmarks.films.rebuild MOVIE FOLDER [--kinds KIND ...] [--strangers FILE ...]

Copies of `MOVIE` are made in `FOLDER`, each is rebuilt from alone, and every clip is compared with
the original one. The strangers are other movies, which are locked too and must not be filled from
it; at last, the movie is rebuilt from these alone. What was measured stays in `FOLDER`, so that
kinds can be measured one by one; rows of all that were are printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.films.copies import CASES, Case, make_copy
from pipeline.config import RunConfig
from pipeline.movie.fast_mode import ssim
from pipeline.rebuild import ClipReport, MovieReport, Settings, Summary, rebuild
from pipeline.run import preprocess
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.recipe import Recipe

_STRANGERS = "strangers"
_MOVIE = "movie"


def main() -> None:
    """Measure the kinds that are not yet measured, and print the rows of the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    keys = [*(case.key for case in CASES), _STRANGERS]
    parser.add_argument("movie", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=keys, default=keys)
    parser.add_argument("--strangers", nargs="+", type=Path, default=[])
    options = parser.parse_args()
    original = _prepare(options.movie, options.folder, options.strangers)
    rows = options.folder / "rows"
    rows.mkdir(exist_ok=True)
    for case in CASES:
        row = rows / case.key
        if case.key in options.kinds and not row.exists():
            row.write_text(_measure(case, original, options.folder))
    if _STRANGERS in options.kinds and not (rows / _STRANGERS).exists():
        (rows / _STRANGERS).write_text(_measure_strangers(options.folder))
    for key in keys:
        if (rows / key).exists():
            sys.stdout.write((rows / key).read_text() + "\n")


def _prepare(movie: Path, folder: Path, strangers: list[Path]) -> Dataset:
    """The dataset and the lock of the movie and the strangers."""
    if not (folder / "movies.lock").exists():
        corpus = folder / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        shutil.copy(movie, corpus / f"{_MOVIE}.mp4")
        for stranger in strangers:
            shutil.copy(stranger, corpus / stranger.name)
        preprocess(str(corpus), str(folder / "data"), Recipe(), RunConfig(workers=2))
        lock = lock_dataset(open_dataset(str(folder / "data")))
        write_lock(str(folder / "movies.lock"), lock)
    return open_dataset(str(folder / "data"))


def _rebuilt(folder: Path, copies: Path, name: str) -> tuple[Summary, Path]:
    out = folder / f"out_{name}"
    shutil.rmtree(out, ignore_errors=True)
    lock = read_lock(str(folder / "movies.lock"))
    return rebuild(lock, str(copies), str(out), Settings(keep_other_audio=True)), out


def _measure(case: Case, original: Dataset, folder: Path) -> str:
    copies = folder / f"copy_{case.key}"
    copies.mkdir(exist_ok=True)
    copy = copies / f"{case.key}.{case.suffix}"
    if not copy.exists():
        partial = copy.with_stem("partial")
        make_copy(case, folder / "corpus" / f"{_MOVIE}.mp4", partial)
        partial.rename(copy)
    began = time.monotonic()
    summary, out = _rebuilt(folder, copies, case.key)
    seconds = time.monotonic() - began
    own = next(report for report in summary.movies if report.movie_id == _MOVIE)
    false = sum(len(_made(case, report)) for report in summary.movies if report is not own)
    return f"| {case.name} | {_row(case, own, original, out)} | {false} | {seconds:.0f} |"


def _measure_strangers(folder: Path) -> str:
    """Only other movies, each of which has its own clips in the lock."""
    copies = folder / _STRANGERS
    shutil.copytree(folder / "corpus", copies, dirs_exist_ok=True)
    (copies / f"{_MOVIE}.mp4").unlink()
    summary, _ = _rebuilt(folder, copies, _STRANGERS)
    own = next(report for report in summary.movies if report.movie_id == _MOVIE)
    others = [report for report in summary.movies if report is not own]
    made = sum(report.count("identical") for report in others)
    return (
        f"only {len(others)} other movies: {len(own.clips) - own.count('missing')} of "
        f"{len(own.clips)} clips matched; {made} of theirs made again, identical"
    )


def _made(case: Case, report: MovieReport) -> list[ClipReport]:
    statuses = ("identical", "aligned") if case.has_audio else ("other_audio",)
    return [clip for clip in report.clips if clip.status in statuses]


def _row(case: Case, report: MovieReport, original: Dataset, out: Path) -> str:
    """The cells of a case."""
    made = _made(case, report)
    possible = [c for c in report.clips if case.has(c.start_ns / 1e9, c.end_ns / 1e9)]
    wrong = [clip for clip in made if clip not in possible]
    if not made:
        return f"0 | 0 of {len(possible)} | 0 | | | | | "
    errors = [
        1000 * abs(case.copy_seconds(clip.start_ns / 1e9) - (clip.copy_start_ns or 0) / 1e9)
        for clip in made
    ]
    speeds = [abs((clip.speed or 0.0) / case.speed - 1.0) for clip in made]
    fits = [clip.audio_fit if case.has_audio else clip.frame_fit for clip in made]
    known = [fit for fit in fits if fit is not None] or [0.0]
    num_same = sum(clip.status == "identical" for clip in made)
    return (
        f"{num_same} | {len(made)} of {len(possible)}{_valid(out)} | "
        f"{len(wrong)} | {np.median(errors):.1f}, {max(errors):.1f} | {max(speeds):.0e} | "
        f"{np.mean(known):.2f}, {min(known):.2f} | {_content(case, made, original, out)}"
    )


def _valid(out: Path) -> str:
    return "" if not (out / "dataset.json").exists() or validate(str(out)).ok else " NOT VALID"


def _content(case: Case, made: list[ClipReport], original: Dataset, out: Path) -> str:
    """How much frames and audio differ from those of the original."""
    if not (out / "dataset.json").exists():
        return "not written | "
    rebuilt = open_dataset(str(out))
    similar, differences = [], []
    for clip in made:
        one, other = original.clip(clip.clip_id), rebuilt.clip(clip.clip_id)
        pairs = zip(one.frames, other.frames, strict=True)
        if one.frames.shape == other.frames.shape:
            similar += [ssim(a.mean(axis=2), b.mean(axis=2)) for a, b in pairs]
        difference = one.logmel.astype(np.float32) - other.logmel.astype(np.float32)
        differences.append(float(np.abs(difference - difference.mean()).mean()))
    frames = f"{np.mean(similar):.3f}, {np.percentile(similar, 5):.3f}" if similar else "other size"
    return f"{frames} | " + (f"{np.mean(differences):.2f}" if case.has_audio else "")


if __name__ == "__main__":
    main()
