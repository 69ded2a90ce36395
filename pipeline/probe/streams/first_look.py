"""Runs ffprobe for a first look at a movie, within bounds that no genuine movie needs.

A movie of a few kilobytes may describe billions of packets, or megabytes of tags. So what ffprobe
may print is bounded in bytes, what it lists in packets, and its own memory; a movie beyond any of
these is `too_large` at once, and not retried with more memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.errors import OutOfMemoryError, TooLargeError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffprobe_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.sources import Movie, Readable

#: What ffprobe may print about the streams of a movie, or about a few of its frames.
MAX_OUTPUT_BYTES = 16 << 20
#: Address space of an ffprobe that lists streams or packets, GiB. Ten million frames need 1 GiB.
LISTING_GIB = 2.0
#: Packets of all kinds may be this many times as many as those of video: tracks in many languages.
MAX_OTHER_PACKETS = 16
#: Number of packets that is accepted of a file of any size. More take this many bytes each.
ANY_SIZE_PACKETS = 200_000
LEAST_PACKET_BYTES = 4
#: Frames per second, averaged over a movie, beyond which its timestamps are taken to be made up.
MAX_FRAMES_PER_SECOND = 1_000
#: Characters of a text (tag, name, layout) that are kept.
MAX_TEXT = 300


@contextlib.contextmanager
def listing(movie: Movie, source: Readable, arguments: Sequence[str]) -> Iterator[FfmpegProcess]:
    """A running ffprobe that lists streams or packets without decoding.

    Raises `TooLargeError` where it would need more memory than any genuine movie does.
    """
    limits = source.limits
    is_for_any = limits.ffmpeg_memory_gib >= LISTING_GIB
    if is_for_any:
        limits = replace(limits, ffmpeg_memory_gib=LISTING_GIB)
    command = [ffprobe_path(), *arguments, *input_arguments(source)]
    try:
        with FfmpegProcess(
            command, source, what=movie.name, limits=limits, decodes=False
        ) as process:
            yield process
    except OutOfMemoryError as error:
        if not is_for_any:
            # Less than a genuine movie may need: more may help.
            raise
        raise TooLargeError(
            f"{movie.name}: its header describes more than {limits.ffmpeg_memory_gib:g} GiB of "
            f"tables; remux it (ffmpeg -i IN -c copy OUT.mkv) if it is genuine; {error}"
        ) from error


class PacketCount:
    """Counts the packets of a movie while they are listed."""

    def __init__(self, movie: Movie, source: Readable) -> None:
        self._name = movie.name
        self._most_video = source.limits.max_packets
        self._num_bytes = movie.num_bytes
        most = MAX_OTHER_PACKETS * self._most_video
        by_size = max(ANY_SIZE_PACKETS, movie.num_bytes // LEAST_PACKET_BYTES)
        self._most = most if movie.num_bytes < 0 else min(most, by_size)
        self._all = self._video = 0

    def add(self, is_video: bool) -> None:
        """Count one packet. Raises `TooLargeError` beyond the limits."""
        self._all += 1
        self._video += is_video
        if self._video > self._most_video:
            raise TooLargeError(
                f"{self._name}: more than {self._most_video:,} video packets; "
                "raise --max-packets if the movie is genuine"
            )
        if self._all > self._most:
            raise TooLargeError(
                f"{self._name}: more than {self._most:,} packets in a file of {self._num_bytes:,} "
                "bytes, so its tables are damaged or made to exhaust memory; replace the file"
            )


def require_usual_rate(movie: Movie, num_frames: int, seconds: float) -> None:
    """Raise `TooLargeError` for far more frames than a movie of this length can show."""
    if num_frames > ANY_SIZE_PACKETS and num_frames > MAX_FRAMES_PER_SECOND * seconds:
        raise TooLargeError(
            f"{movie.name}: {num_frames:,} frames in {seconds:.1f} s, so its timestamps are "
            "damaged or made to exhaust memory; remux it with right ones if it is genuine"
        )


def clipped(value: object) -> object:
    """A value of ffprobe's JSON with every text in it cut at `MAX_TEXT` characters."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, list):
        return [clipped(item) for item in value]
    if isinstance(value, dict):
        return {str(key)[:MAX_TEXT]: clipped(item) for key, item in value.items()}
    return value
