"""Opening a movie for ffmpeg: in place, from a copy on the node's disk, or by byte range.

    local      file:///movies/a.mp4    read in place
    staged     s3://movies/a.mp4       copied once per node, see `staged`
    ranged     s3://movies/a.mp4       read through a loopback HTTP server, see `ranged`

All three read the same bytes, so the choice does not affect the output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.limits import GIB, Limits
from pipeline.sources import identity
from pipeline.sources.movie import Movie
from pipeline.sources.ranged import ranged_source
from pipeline.sources.readable import Readable
from pipeline.sources.staged import staged_copy

#: How often a movie is read: its packets, its keyframes, its audio, and its video in segments.
NUM_PASSES = 4


def is_by_range(movie: Movie, mode: str, stage_gib: float, num_nodes: int) -> bool:
    """Whether a movie is read by range on a cluster with `num_nodes` nodes that have CPUs.

    `mode` is the setting `--sources`: `auto`, `staged` or `ranged`.

    By range, a movie is downloaded about four times, however many nodes there are. A copy is
    downloaded once per node that works on the movie, and tasks wait for it. So small clusters
    copy, unless the movie does not fit.
    """
    if identity.is_local(movie) or mode != "auto":
        return mode == "ranged" and not identity.is_local(movie)
    return num_nodes > NUM_PASSES or movie.num_bytes > stage_gib * GIB


@contextlib.contextmanager
def open_source(
    movie: Movie,
    source_fingerprint: str,
    *,
    by_range: bool = True,
    stage_gib: float = 0.0,
    limits: Limits | None = None,
) -> Iterator[Readable]:
    """Open a movie for ffmpeg, whose processes are then bound by `limits`.

    Raises:
        MovieError: the source is unavailable, has changed, is too large, or does not fit on disk.
        NoCredentialsError: there are no credentials at all.
    """
    limits = limits or Limits()
    limits.check_source(movie.name, movie.num_bytes)
    if identity.is_local(movie):
        yield local_source(movie, source_fingerprint, limits)
    elif by_range:
        with ranged_source(movie, source_fingerprint, limits) as source:
            yield source
    else:
        with staged_copy(movie, stage_gib, limits) as path:
            yield Readable(f"file:{path}", source_fingerprint, limits)


def local_source(movie: Movie, source_fingerprint: str, limits: Limits | None = None) -> Readable:
    """A local movie, which needs no closing."""
    url = f"file:{identity.local_file(movie)}"
    identity.require_unchanged(movie)
    return Readable(url, source_fingerprint, limits or Limits())
