"""One rebuild, from lockfile and copies to a dataset: recognize copies, make clips, index them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline import lease
from pipeline.errors import MovieError
from pipeline.ffmpeg.binaries import ffmpeg_version, ffprobe_path
from pipeline.limits import Limits
from pipeline.matching import Match, Searched, complementary, identical_copies, matches_of
from pipeline.rebuild.decode import Request
from pipeline.rebuild.make import make_movie, shard_keys
from pipeline.rebuild.report import MovieReport, read_report, write_report
from pipeline.rebuild.rows import failed_movie, missing_movie
from pipeline.sources import Movie
from pipeline.sources.corpus import find_movies
from shards_spec.dataset.index import read_committed_movies, write_commit, write_index
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.errors import InputError
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

OnProgress = Callable[[str], None]

_NO_COPY = "no copy of it was found"


@dataclass(frozen=True)
class Settings:
    """How a rebuild is carried out."""

    min_fit: float = 0.4
    """Leave out clips whose audio has a fit below this (1: identical, 0: unrelated)."""
    threads: int = 2
    """Segments of a movie that are decoded concurrently."""
    follow_links: bool = False
    """Let links inside the folder lead out of it."""
    keep_other_audio: bool = False
    """Make clips whose video fits but whose audio differs, as in a dubbed copy."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_fit <= 1.0 or self.threads < 1:
            raise InputError(f"{self.min_fit = } must be 0 to 1, {self.threads = } at least 1")


@dataclass(frozen=True)
class Summary:
    """What a rebuild did."""

    movies: tuple[MovieReport, ...]
    """All of the lock, by movie id."""
    unusable: tuple[tuple[str, str], ...]
    """Files that could not be used as copies, and why."""

    def count(self, status: str) -> int:
        """Clips of a status."""
        return sum(movie.count(status) for movie in self.movies)

    @property
    def is_complete(self) -> bool:
        """Whether all clips were made."""
        return all(movie.num_made == len(movie.clips) for movie in self.movies)


def rebuild(
    lock: Lock,
    copies: str,
    out: str,
    settings: Settings | None = None,
    on_progress: OnProgress = lambda line: None,
) -> Summary:
    """Make the dataset of a lock at `out` from copies; movies that are complete there are kept.

    Args:
        copies: a corpus: folder, glob, prefix, or manifest.
        on_progress: called with a line about each step.

    Raises:
        InputError: no copies were found, `out` holds another dataset, or another run writes to it.
        StorageError: `out` cannot be written.
    """
    settings = settings or Settings()
    ffprobe_path()
    found = find_movies(copies, follow_links=settings.follow_links)
    storage = Storage(out, create=True)
    with lease.hold_lease(storage) as held:
        return _Rebuild(lock, held.fenced(storage), settings, on_progress, Limits()).run(found)


@dataclass(frozen=True)
class _Rebuild:
    """One rebuild under its lease."""

    lock: Lock
    storage: Storage
    settings: Settings
    on_progress: OnProgress
    limits: Limits

    def run(self, copies: Sequence[Movie]) -> Summary:
        committed = self._committed()
        reports = self._earlier(committed)
        todo = [
            number
            for number, movie in enumerate(self.lock.movies)
            if movie.movie_id not in reports or not _is_complete(reports[movie.movie_id])
        ]
        matches, unusable = self._matches(todo, copies)
        for number in todo:
            movie = self.lock.movies[number]
            earlier = committed.get(movie.movie_id) if movie.movie_id in reports else None
            made = self._make(movie, matches.get(number, ()), earlier)
            if made is not None:
                reports[movie.movie_id] = made
            self.on_progress(_line(reports[movie.movie_id]))
        if any(report.num_made for report in reports.values()):
            rows = write_index(self.storage, self.lock.recipe, ffmpeg_version())
            self._delete_unlisted(committed.values(), rows)
        return Summary(tuple(reports[m.movie_id] for m in self.lock.movies), tuple(unusable))

    def _delete_unlisted(self, before: Iterable[MovieRow], after: Iterable[MovieRow]) -> None:
        """Delete shards that only the previous index listed."""
        listed = {key for row in after for key in _shards_of(row)}
        for key in (key for row in before for key in _shards_of(row)):
            if key not in listed:
                self.storage.delete(key)

    def _committed(self) -> dict[str, MovieRow]:
        """The movies of the dataset. Raises `InputError` if one is not of this lock."""
        committed = read_committed_movies(self.storage)
        strangers = set(committed) - {movie.movie_id for movie in self.lock.movies}
        recipes = {row.recipe_fingerprint for row in committed.values()}
        if strangers or recipes - {self.lock.recipe.fingerprint}:
            raise InputError(
                f"{self.storage.uri} has movies that are not of this lockfile; give --out an empty "
                "folder, or one that was rebuilt from it"
            )
        return committed

    def _earlier(self, committed: Iterable[str]) -> dict[str, MovieReport]:
        """The rows that an earlier rebuild of this lock made."""
        found = {name: read_report(self.storage, name, self.lock.digest) for name in committed}
        return {name: report for name, report in found.items() if report is not None}

    def _matches(
        self, todo: Sequence[int], copies: Sequence[Movie]
    ) -> tuple[dict[int, list[Match]], list[tuple[str, str]]]:
        """The copies of each movie, and unusable files."""
        unusable: list[tuple[str, str]] = []
        identical = identical_copies({n: self.lock.movies[n] for n in todo}, copies)
        used = {copy.uri for copy in identical.values()}
        searched = Searched(self.lock, [number for number in todo if number not in identical])
        found: dict[int, list[Match]] = {}
        for copy in copies if searched.numbers else ():
            if copy.uri in used:
                continue
            self.on_progress(f"listening to {copy.name}")
            try:
                for number, match in matches_of(searched, copy, self.limits).items():
                    found.setdefault(number, []).append(match)
            except MovieError as error:
                unusable.append((copy.name, str(error)))
        matches = {number: complementary(every) for number, every in found.items()}
        return {**matches, **{n: [Match(copy, None)] for n, copy in identical.items()}}, unusable

    def _make(
        self, movie: LockedMovie, matches: Sequence[Match], earlier: MovieRow | None
    ) -> MovieReport | None:
        """The report of a movie; None if the result of an earlier rebuild is kept."""
        if not matches:
            return self._missing(movie, _NO_COPY, earlier)
        settings = self.settings
        request = Request(self.lock, movie, matches, settings.min_fit, settings.keep_other_audio)
        try:
            return make_movie(request, self.storage, self.limits, settings.threads, earlier)
        except MovieError as error:
            reason = f"{matches[0].copy.name} cannot be used: {error}"
            return self._missing(movie, reason, earlier)

    def _missing(
        self, movie: LockedMovie, reason: str, earlier: MovieRow | None
    ) -> MovieReport | None:
        if earlier is not None and earlier.num_clips:
            return None
        report = missing_movie(self.lock, movie, reason)
        write_report(self.storage, report, self.lock.digest)
        write_commit(self.storage, failed_movie(self.lock, movie, report), [])
        return report


def _shards_of(row: MovieRow) -> list[str]:
    return shard_keys(row.movie_id, row.first_shard, row.num_shards)


def _is_complete(report: MovieReport) -> bool:
    return report.num_made == len(report.clips)


def _line(report: MovieReport) -> str:
    if not report.num_made:
        return f"{report.movie_id}: nothing made: {report.reason or 'no clip fits'}"
    return (
        f"{report.movie_id}: {report.num_made:,} of {len(report.clips):,} clips "
        f"from {report.copy_name}"
    )
