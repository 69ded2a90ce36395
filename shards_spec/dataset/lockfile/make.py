"""Makes the lock of a dataset: one pass over its shards, without its movies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa

from shards_spec.dataset.fingerprints.compute import checked_logmel, clip_members, strip_luma
from shards_spec.dataset.lockfile.columns import digest_of
from shards_spec.dataset.lockfile.lock import (
    LOCK_VERSION,
    ROW_COLUMNS,
    Lock,
    LockedClips,
    LockedDrops,
    LockedMovie,
    steps_of,
)
from shards_spec.dataset.lockfile.words import audio_words, strip_words
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.redaction import plain, redacted
from shards_spec.sample import FRAMES, LOGMEL, decode_logmel
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.dropped import DROP_REASONS
from shards_spec.schema.duplicates import clip_ranges
from shards_spec.schema.tables import clip_rows, movie_rows

OnMovie = Callable[[int, int], None]


def lock_dataset(dataset: Dataset, num_threads: int = 2, on_movie: OnMovie | None = None) -> Lock:
    """The lock of all movies with clips.

    Args:
        num_threads: movies that are read concurrently.
        on_movie: called with the number of movies that are done, and of all.

    Raises `InputError` if there are no clips, `FormatError` or `StorageError` for clips that cannot
    be read.
    """
    rows = {row.movie_id: row for row in movie_rows(dataset.movies)}
    ranges = clip_ranges(dataset.clips, list(rows))
    if not ranges:
        raise InputError(f"{dataset.storage.uri} has no clips to lock")
    dropped = dataset.dropped()
    drops = {} if dropped is None else clip_ranges(dropped, list(rows))

    def locked_movie(movie: MovieRow, rows_range: tuple[int, int]) -> LockedMovie:
        first, end = drops.get(movie.movie_id, (0, 0))
        listed = LockedDrops.none()
        if dropped is not None and end:
            listed = _drops(movie, dropped.slice(first, end - first))
        return _locked(dataset, movie, rows_range, listed)

    movies = []
    with ThreadPoolExecutor(num_threads) as pool:
        locked = pool.map(locked_movie, map(rows.__getitem__, ranges), ranges.values())
        for number, movie in enumerate(locked, start=1):
            movies.append(movie)
            if on_movie is not None:
                on_movie(number, len(ranges))
    movies.sort(key=lambda movie: movie.movie_id)
    version = str(dataset.info.get("ffmpeg_version", ""))
    digest = digest_of(dataset.recipe, movies, version, LOCK_VERSION)
    return Lock(dataset.recipe, movies, version, digest)


def _drops(movie: MovieRow, listed: pa.Table) -> LockedDrops:
    """A movie's rows of the table of dropped clips; none unless they agree with its counts."""
    reasons = listed["reason"].to_pylist()
    counts = {reason: getattr(movie, f"dropped_{reason}") for reason in DROP_REASONS}
    if Counter(reasons) != Counter(counts):
        return LockedDrops.none()
    return LockedDrops(
        clip_number=listed["clip_number"].to_numpy(),
        start_ns=listed["start_ns"].to_numpy(),
        end_ns=listed["end_ns"].to_numpy(),
        reason=np.array([DROP_REASONS.index(reason) for reason in reasons], np.int32),
    )


def _locked(
    dataset: Dataset, movie: MovieRow, rows_range: tuple[int, int], drops: LockedDrops
) -> LockedMovie:
    first, end = rows_range
    rows = clip_rows(dataset.clips.slice(first, end - first))
    return LockedMovie(
        source_name=_name(movie.source_uri),
        height=rows[0].height,
        width=rows[0].width,
        audio_language=movie.audio_language,
        dropped_black=movie.dropped_black,
        dropped_silent=movie.dropped_silent,
        dropped_frozen=movie.dropped_frozen,
        dropped_too_short=movie.dropped_too_short,
        dropped_damaged=movie.dropped_damaged,
        clips=_clips(dataset, rows),
        drops=drops,
        **{name: getattr(movie, name) for name in ROW_COLUMNS},
    )


def _clips(dataset: Dataset, rows: list[ClipRow]) -> LockedClips:
    recipe = dataset.recipe
    audio, frames = [], []
    for row, members in clip_members(dataset, rows):
        try:
            logmel = checked_logmel(decode_logmel(members[LOGMEL]), recipe)
            audio.append(audio_words(logmel, recipe))
            frames.append(strip_words(strip_luma(members[FRAMES], row)))
        except FormatError as error:
            raise FormatError(f"clip {row.clip_id}: {error}") from error

    def column(name: str, kind: Any) -> Any:
        return np.array([getattr(row, name) for row in rows], kind)

    return LockedClips(
        clip_number=column("clip_number", np.int32),
        start_step=steps_of(column("start_ns", np.int64), recipe),
        shard=np.array([_shard_number(row.shard) for row in rows], np.int32),
        shot_id=column("shot_id", np.int32),
        num_cuts=column("num_cuts", np.int32),
        crc32c=column("crc32c", np.uint32),
        audio_words=np.stack(audio),
        frame_words=np.stack(frames),
    )


def _shard_number(key: str) -> int:
    return int(key.removesuffix(".tar").rpartition("-")[2])


def _name(uri: str) -> str:
    """The file's name alone: folders say more about a machine than about a movie."""
    path = urlsplit(uri).path if "://" in uri else uri
    return plain(redacted(PurePosixPath(unquote(path)).name))
