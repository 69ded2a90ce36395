"""The command `rebuild`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from shards_spec import cli
from shards_spec.cli import ExitCode

_STATUSES = ("identical", "aligned", "other_audio", "poor_fit", "missing")


@dataclass(frozen=True)
class Rebuild:
    """Rebuild the dataset of a lockfile from your own copies of its movies.

    Copies are recognized by their audio, or by their video if the audio does not match. They may
    have other names, start later, run faster or slower (PAL), be cut, be split into several files,
    or be re-encoded. The original files give the same bytes.
    """

    lock: Annotated[str, Positional, arg(metavar="LOCK")]
    """Lockfile of `reelshards lock`: a file, or s3://, gs://, az://, https://."""
    copies: Annotated[str, arg(name="from", metavar="FOLDER")]
    """Copies of the movies: a folder, glob, file, object-store prefix, or manifest."""
    out: Annotated[str, arg(metavar="DATASET")]
    """Where to write the dataset: a folder, or s3://, gs://, az://. Movies that are already
    complete there are kept."""
    min_fit: float = 0.4
    """Leave out clips whose audio has a fit below this (1: identical, 0: unrelated)."""
    keep_other_audio: bool = False
    """Also make clips whose video fits but whose audio differs, as in a dubbed copy."""
    threads: int = 2
    """Number of segments of a movie to decode concurrently."""
    follow_links: bool = False
    """Let links inside the folder lead out of it."""
    json: bool = False
    """Print JSON instead of tables, with all clips that are not in the dataset."""

    def run(self) -> int:
        """Rebuild; returns 1 if any clip of the lockfile is not in the dataset."""
        cli.show_start("reading the lockfile")
        from pipeline.rebuild import Settings, rebuild
        from shards_spec.dataset.lockfile.file import read_lock

        settings = Settings(self.min_fit, self.threads, self.follow_links, self.keep_other_audio)
        summary = rebuild(
            read_lock(self.lock),
            self.copies,
            self.out,
            settings,
            lambda line: cli.write_notes([line]),
        )
        if self.json:
            cli.print_json(_values(summary))
        else:
            _print(summary)
        return ExitCode.DONE if summary.is_complete else ExitCode.SOME_FAILED


def _values(summary: Any) -> dict[str, Any]:
    movies = [
        {
            **_facts(movie),
            "left_out": [asdict(clip) for clip in movie.clips if not clip.in_dataset],
        }
        for movie in summary.movies
    ]
    return {"movies": movies, "unusable": dict(summary.unusable)}


def _facts(movie: Any) -> dict[str, Any]:
    fits = [clip.audio_fit for clip in movie.clips if clip.audio_fit is not None]
    speeds = sorted({clip.speed for clip in movie.clips if clip.speed})
    errors = [clip.offset_error_ms for clip in movie.clips if clip.offset_error_ms is not None]
    return {
        "movie_id": movie.movie_id,
        "source_name": movie.source_name,
        "copy_name": movie.copy_name,
        "reason": movie.reason,
        **{name: movie.count(name) for name in _STATUSES},
        "in_dataset": movie.num_made,
        "matched_by": sorted({clip.matched_by for clip in movie.clips if clip.matched_by}),
        "audio_fit": sum(fits) / len(fits) if fits else None,
        "speeds": speeds,
        "offset_error_ms": max(errors, default=None),
    }


def _print(summary: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    console = cli.new_console()
    table = Table(title=Text("rebuilt movies"), title_justify="left")
    names = ("movie", "copy", *(name.replace("_", " ") for name in _STATUSES))
    for name in (*names, "fit", "speed", "error"):
        table.add_column(name, overflow="fold")
    for movie in summary.movies:
        facts = _facts(movie)
        fit, error = facts["audio_fit"], facts["offset_error_ms"]
        counts = [f"{facts[name]:,}" for name in _STATUSES]
        table.add_row(
            movie.movie_id,
            movie.copy_name or "none",
            *counts,
            "" if fit is None else f"{fit:.2f}",
            ", ".join(f"{speed:.4f}" for speed in facts["speeds"]),
            "" if error is None else f"{error:.1f} ms",
        )
    console.print(table)
    for movie in summary.movies:
        reasons = Counter(clip.reason for clip in movie.clips if clip.reason)
        for reason, count in reasons.most_common():
            noun = "clip" if count == 1 else "clips"
            console.print(f"{movie.movie_id}: {count:,} {noun}: {reason}", soft_wrap=True)
    for name, why in summary.unusable:
        why = why.removeprefix(f"{name}: ")
        console.print(f"{name} was not used: {why}", soft_wrap=True)
    left_out = [clip for movie in summary.movies for clip in movie.clips if not clip.in_dataset]
    if any(clip.status == "other_audio" for clip in left_out):
        console.print(
            "clips with other audio are left out; --keep-other-audio makes those of dubbed copies",
            soft_wrap=True,
        )
    if not any(movie.num_made for movie in summary.movies):
        console.print("no clip could be made, so there is no dataset", soft_wrap=True)
