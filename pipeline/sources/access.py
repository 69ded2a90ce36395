"""How a movie's bytes come to ffmpeg: in place, from a copy on the node's disk, or by range.

    local      file:///films/a.mp4    read where it lies
    staged     s3://films/a.mp4       copied once per node, see `copies`
    ranged     s3://films/a.mp4       read through a window onto the store, see `window`

All three give the same bytes, so nothing of the result depends on the choice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.config import RunConfig
from pipeline.limits import GIB
from pipeline.sources import identity as source
from pipeline.sources import ranged as window
from pipeline.sources import staged as copies
from pipeline.sources.corpus import Movie

#: How often a movie is read: its packets, its sound, and its picture in segments.
NUM_PASSES = 3


def is_by_range(movie: Movie, config: RunConfig, num_nodes: int) -> bool:
    """Whether a movie is read by range, on a cluster of so many nodes with cores.

    Read by range, a movie leaves the store about three times, on however many nodes. A copy leaves
    it once, but for every node that works on the movie, and its tasks wait for it. So few nodes
    copy, unless the movie has no room there.
    """
    if source.is_local(movie) or config.sources != "auto":
        return config.sources == "ranged" and not source.is_local(movie)
    return num_nodes > NUM_PASSES or movie.num_bytes > config.stage_gib * GIB


@contextlib.contextmanager
def held(
    movie: Movie, source_fingerprint: str, *, by_range: bool, stage_gib: float = 0.0
) -> Iterator[str]:
    """Have a movie where ffmpeg can read it; gives its path or address.

    Raises:
        MediaError: the source cannot be had, is another one by now, or there is no room for it.
        AccessDeniedError: there are no credentials at all.
    """
    if source.is_local(movie):
        yield str(source.local_file(movie))
    elif by_range:
        with window.opened(movie, source_fingerprint) as found:
            yield found.url
    else:
        with copies.held(movie, source_fingerprint, stage_gib) as path:
            yield str(path)


def place(movie: Movie, source_fingerprint: str) -> str:
    """Path or address of a movie; of a remote one inside of `held` only."""
    if source.is_local(movie):
        return str(source.local_file(movie))
    found = window.onto(source_fingerprint)
    return found.url if found else str(copies.stage_folder(source_fingerprint) / "movie")
