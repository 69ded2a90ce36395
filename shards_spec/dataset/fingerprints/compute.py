"""Computes the words of movies from the film strips and log-mels in their shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import audio_track, coarse_columns
from shards_spec.dataset.fingerprints.table import (
    Fingerprint,
    read_fingerprints,
    write_fingerprints,
)
from shards_spec.dataset.fingerprints.video import THUMB_SIDE, chosen_frames, thumbs_of, video_track
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import (
    FRAMES,
    LOGMEL,
    MAX_STRIP_BYTES,
    check_crc32c,
    decode_logmel,
    split_members,
)
from shards_spec.schema import ClipContent, ClipRow
from shards_spec.schema.duplicates import clip_ranges, clips_digests
from shards_spec.schema.tables import clip_rows

#: Bytes that one read of a shard requests at most, apart from a single larger clip.
READ_BYTES = 32 * 1024 * 1024

OnMovie = Callable[[int, int], None]


def update_fingerprints(
    dataset: Dataset, num_threads: int = 2, on_movie: OnMovie | None = None
) -> dict[str, Fingerprint]:
    """The fingerprints of all movies that have clips, by movie id; the table is brought up to date.

    Only movies whose clips have changed since the table was written are read. What is done is
    stored every few hundred movies, so an interrupted update resumes.

    Args:
        on_movie: called with the number of movies that are done, and of all that are to be done.

    Raises `FormatError` or `StorageError` for clips that cannot be read.
    """
    names = set(dataset.clips["movie_id"].unique().to_pylist())
    digests = clips_digests(dataset.clips, names)
    stored = read_fingerprints(dataset.storage)
    current = {
        name: made for name, made in stored.items() if digests.get(name) == made.clips_digest
    }
    todo = [name for name in digests if name not in current]
    durations = dict(
        zip(
            *(dataset.movies[name].to_pylist() for name in ("movie_id", "duration_ns")), strict=True
        )
    )
    ranges = clip_ranges(dataset.clips, todo)

    def work(name: str) -> Fingerprint:
        first, end = ranges[name]
        rows = clip_rows(dataset.clips.slice(first, end - first))
        return fingerprint_of(dataset, rows, digests[name], int(durations.get(name) or 0))

    with ThreadPoolExecutor(num_threads) as pool:
        waiting = [pool.submit(work, name) for name in todo]
        try:
            for number, future in enumerate(as_completed(waiting), start=1):
                made = future.result()
                current[made.movie_id] = made
                if on_movie is not None:
                    on_movie(number, len(todo))
                if number % _STORE_EVERY == 0:
                    write_fingerprints(dataset.storage, current.values())
        finally:
            for future in waiting:
                future.cancel()
    if todo or len(current) != len(stored):
        write_fingerprints(dataset.storage, current.values())
    return current


#: Movies after which an update stores what it has.
_STORE_EVERY = 500


def fingerprint_of(
    dataset: Dataset, rows: list[ClipRow], digest: str, duration_ns: int
) -> Fingerprint:
    """The words of one movie, all of whose clips are given in the order of the index."""
    thumbs, columns = [], []
    recipe = dataset.recipe
    hop_seconds = recipe.hop_samples / recipe.sample_rate_hz
    for row, members in clip_members(dataset, rows):
        chosen = chosen_frames(row.start_ns, row.end_ns, row.num_frames)
        try:
            thumbs.append(thumbs_of(strip_luma(members[FRAMES], row), chosen))
            logmel = checked_logmel(decode_logmel(members[LOGMEL]), recipe)
        except FormatError as error:
            raise FormatError(f"clip {row.clip_id}: {error}") from error
        columns.append(coarse_columns(logmel, row.start_ns, hop_seconds))
    video, blank = video_track(thumbs)
    end_ns = max((row.end_ns for row in rows), default=0)
    return Fingerprint(
        rows[0].movie_id, digest, max(duration_ns, end_ns), video, blank, audio_track(columns)
    )


def clip_members(
    dataset: Dataset, rows: Sequence[ClipRow]
) -> Iterator[tuple[ClipRow, dict[str, memoryview]]]:
    """Rows of one movie with their members by suffix: film strip and log-mel at least.

    Bytes are verified; consecutive clips of a shard are read together. Raises `FormatError` or
    `StorageError` for clips that cannot be read.
    """
    for row, data in _clips(dataset, rows):
        members = split_members(data).get(row.clip_id, {})
        missing = [name for name in (FRAMES, LOGMEL) if name not in members]
        if missing:
            raise FormatError(f"clip {row.clip_id}: members {missing} are missing")
        yield row, members


def _clips(dataset: Dataset, rows: Sequence[ClipRow]) -> Iterator[tuple[ClipRow, memoryview]]:
    """Rows with their bytes."""
    first = 0
    while first < len(rows):
        stop, end = first + 1, rows[first].tar_offset + rows[first].tar_bytes
        while (
            stop < len(rows)
            and (rows[stop].shard, rows[stop].tar_offset) == (rows[first].shard, end)
            and end + rows[stop].tar_bytes - rows[first].tar_offset <= READ_BYTES
        ):
            end += rows[stop].tar_bytes
            stop += 1
        offset = rows[first].tar_offset
        data = memoryview(dataset.storage.get_range(rows[first].shard, offset, end - offset))
        for row in rows[first:stop]:
            begin = row.tar_offset - offset
            piece = data[begin : begin + row.tar_bytes]
            check_crc32c(piece, row)
            yield row, piece
        first = stop


def strip_luma(data: bytes | memoryview, row: ClipContent) -> NDArray[np.uint8]:
    """(T, H, W) luma of a film strip, decoded at a fraction of its size where that suffices.

    Raises `FormatError` if it is damaged, too large, or not as its row says.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != (row.height * row.num_frames, row.width):
            raise FormatError(f"film strip of {width} x {height} pixels, not as in the index")
        if height * width > MAX_STRIP_BYTES:
            raise FormatError(f"film strip of {width} x {height} pixels is too large to decode")
        # Heights of frames are multiples of 16, so a half, a quarter or an eighth is exact.
        scale = next((s for s in (8, 4, 2) if min(row.height, row.width) // s >= THUMB_SIDE), 1)
        luma = simplejpeg.decode_jpeg(
            data, "GRAY", min_height=height // scale, min_width=row.width // scale, min_factor=1
        )[:, :, 0]
    except ValueError as error:
        raise FormatError(f"film strip is not a readable JPEG: {error}") from error
    if len(luma) % row.num_frames:
        luma = simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
    return np.asarray(luma).reshape(row.num_frames, -1, luma.shape[1])


def checked_logmel(logmel: NDArray[np.float16], recipe: Recipe) -> NDArray[np.float16]:
    """The log-mel itself; raises `FormatError` if it is not one of the recipe."""
    if logmel.shape[0] != recipe.n_mels or logmel.shape[1] < 1:
        raise FormatError(
            f"log-mel of shape {logmel.shape}, but {recipe.n_mels} bands in the recipe"
        )
    if not np.isfinite(logmel).all():
        raise FormatError("log-mel has values that are not finite")
    return logmel
