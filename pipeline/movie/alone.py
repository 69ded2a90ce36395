"""One movie to shards in this process, without Ray: the same steps, hence the same bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import MovieAudio
from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.limits import Limits
from pipeline.movie.rows import Cost
from pipeline.movie.spool import AUDIO_PART, Spool, open_spool
from pipeline.movie.steps import prepare, run_audio_parts, run_segment, to_decode_again
from pipeline.movie.write import write_movie
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint
from pipeline.video.segment import VideoSegment
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

#: Length of the segments that are decoded concurrently, seconds.
_SEGMENT_SECONDS = 120.0


def shard_movie(
    movie: Movie,
    recipe: Recipe,
    storage: Storage,
    *,
    num_threads: int = 1,
    limits: Limits | None = None,
) -> None:
    """Write the dataset of one movie to `storage`, which is empty.

    Args:
        num_threads: segments that are decoded concurrently.

    Raises `MovieError` when the movie has no usable clip or cannot be read.
    """
    with (
        open_source(movie, fingerprint(movie), limits=limits) as source,
        reaper.own_folder() as folder,
        open_spool() as spool,
    ):
        plan = prepare(movie, source, recipe, _SEGMENT_SECONDS)
        plan, segments = decode_into(spool, plan, source, num_threads=num_threads)
        audio = _add_audio(spool, plan, source, segments)
        write_movie(plan, storage, Cost(1, 0.0, 0.0), audio, segments, spool, folder=folder)
    from shards_spec.dataset.index import write_index  # The tasks of a run write no index.

    write_index(storage, recipe, ffmpeg_version())


def decode_into(
    spool: Spool, plan: MoviePlan, source: Readable, *, num_threads: int = 1, first_key: int = 0
) -> tuple[MoviePlan, list[VideoSegment]]:
    """Decode the segments of a plan; the bytes of segment n are part `first_key` + n of the spool.

    Returns:
        The plan, which has changed if some of them had to be decoded again, and all segments.
    """
    found: dict[int, VideoSegment] = {}
    again = list(plan.segments)
    while True:
        for video, data in _decoded(plan, again, source, num_threads):
            spool.add(first_key + video.number, [data])
            found[video.number] = video
        segments = [found[segment.number] for segment in plan.segments]
        plan, again = to_decode_again(plan, segments)
        if not again:
            return plan, segments


def _decoded(
    plan: MoviePlan, segments: Sequence[Segment], source: Readable, num_threads: int
) -> Iterator[tuple[VideoSegment, NDArray[np.uint8]]]:
    """The segments in order; at most one for each thread, and one more, is in memory."""
    waiting: deque[Future[tuple[VideoSegment, NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for segment in segments:
                waiting.append(pool.submit(run_segment, plan, segment, source))
                if len(waiting) > num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _add_audio(
    spool: Spool, plan: MoviePlan, source: Readable, segments: list[VideoSegment]
) -> MovieAudio:
    """Decode the audio into the spool."""
    decoded: list[MovieAudio] = []

    def parts() -> Iterator[NDArray[np.uint8]]:
        decoded.append((yield from run_audio_parts(plan, source, segments)))

    spool.add(AUDIO_PART, parts())
    return decoded[0]
