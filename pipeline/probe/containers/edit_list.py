"""Where the parts of an edited MP4 or MOV really belong: edit lists with a cut in the middle.

An edit list plays ranges of a track's media one after the other. ffmpeg begins each range with a
whole packet of audio, and shifts later ranges of video by the delay of B-frames. The frames keep
the times that ffmpeg gives them, as every reader sees them; the audio is cut to the sample and
follows the frames that it was recorded with.

    media      [..a a a a......b b b b..]
    edits         [     ]      [     ]
    timeline      [a a a a][b b b b]          ffmpeg's times of video, exact audio under it
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from pipeline.probe.streams.first_look import PacketCount, listing
from pipeline.probe.streams.packets import PacketTable
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.probe.tracks.audio_track import AudioTrack
from pipeline.sources import Movie, Readable

#: Boxes that are searched, and how many boxes a file may have before the search ends.
_PARENTS = (b"moov", b"trak", b"mdia", b"edts")
_READ = (b"mvhd", b"tkhd", b"mdhd", b"elst")
MAX_BOXES, MAX_EDITS, MAX_BYTES = 20_000, 10_000, 1 << 20
_NORMAL_RATE = 1 << 16
#: Video that is nearer than this to where it belongs is left alone.
_TOLERANCE = Fraction(1, 2000)


@dataclass(frozen=True)
class PlayedRange:
    """A range of the audio's media that is played; seconds."""

    media_start: Fraction
    media_end: Fraction
    start: Fraction
    """Container time at which it is played."""


@dataclass(frozen=True)
class _Edit:
    start: Fraction
    """On the timeline, seconds; likewise below."""
    length: Fraction
    media_start: Fraction | None
    """None where nothing is played."""
    rate: int

    @property
    def is_played(self) -> bool:
        return self.media_start is not None


def played_ranges(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    packets: PacketTable,
    video: VideoStream,
    audio: AudioTrack,
    *,
    is_trimmed: bool,
) -> tuple[PlayedRange, ...]:
    """The ranges of the audio's media that belong to the video as ffmpeg times it.

    Empty if ffmpeg's own times of the audio are right, or if ranges are repeated, out of order or
    played at another rate. Raises `MovieError` if the source cannot be read.

    Args:
        movie, source, listed: the file and its streams.
        packets: of the video, with ffmpeg's times.
        video, audio: the chosen streams.
        is_trimmed: whether packets of the video precede its first edit.
    """
    if not listed.container.startswith("mov"):
        return ()
    edits = _edits_by_track(movie, source)
    ids = {int(s["index"]): int(str(s.get("id") or "0"), 16) for s in listed.streams}
    seen = edits.get(ids.get(video.index, 0), ())
    heard = edits.get(ids.get(audio.index, 0), ())
    has_cuts = any(sum(edit.is_played for edit in track) > 1 for track in (seen, heard))
    if not (has_cuts or is_trimmed) or not _are_plain(seen) or not _are_plain(heard):
        return ()
    shifts = _shifts(movie, source, packets, video, seen)
    if not has_cuts and all(abs(shift) < _TOLERANCE for shift in shifts):
        return ()
    return tuple(_follow(seen, shifts, heard))


def _are_plain(edits: Sequence[_Edit]) -> bool:
    """Whether edits play ascending ranges of known length at the normal rate."""
    played = [edit for edit in edits if edit.media_start is not None]
    ends = [((e.media_start or 0), (e.media_start or 0) + e.length) for e in played]
    ascends = all(before[1] <= after[0] for before, after in pairwise(ends))
    return bool(played) and ascends and all(e.rate == _NORMAL_RATE and e.length for e in played)


def _shifts(
    movie: Movie,
    source: Readable,
    packets: PacketTable,
    video: VideoStream,
    edits: Sequence[_Edit],
) -> list[Fraction]:
    """How much later than it belongs each edit of the video is shown, seconds; 0 if unknown."""
    times = _media_ticks(movie, source, video.index)
    pairs = [
        (times[position], pts)
        for position, pts in zip(packets.position.tolist(), packets.pts.tolist(), strict=True)
        if position in times
    ]
    media, shown = np.array(pairs, np.int64).reshape(-1, 2).T
    shifts = []
    for edit in edits:
        first = round((edit.media_start or 0) / video.time_base)
        length = round(edit.length / video.time_base) if edit.is_played else 0
        inside = (media >= first) & (media < first + length)
        moved = int(np.median((shown - media)[inside])) + first if inside.any() else None
        shifts.append(Fraction(0) if moved is None else moved * video.time_base - edit.start)
    return shifts


def _media_ticks(movie: Movie, source: Readable, stream: int) -> dict[int, int]:
    """Position in the file -> time in the track's media, ticks, of each packet."""
    shown = ("-show_entries", "packet=pts,pos", "-of", "csv=p=0")
    arguments = ("-v", "error", "-ignore_editlist", "1", "-select_streams", str(stream), *shown)
    count, times = PacketCount(movie, source), {}
    with listing(movie, source, arguments) as process:
        for line in process.lines():
            count.add(True)
            pts, position, *_ = [*line.split(b","), b""]
            if position.isdigit() and pts.lstrip(b"-").isdigit():
                times[int(position)] = int(pts)
        process.finish(tolerate_errors=True)
    return times


def _follow(
    seen: Sequence[_Edit], shifts: Sequence[Fraction], heard: Sequence[_Edit]
) -> Iterator[PlayedRange]:
    """The audio's ranges, split where the shift of the video changes."""
    starts = [edit.start for edit in seen]
    for edit in heard:
        if edit.media_start is None:
            continue
        end = edit.start + edit.length
        points = [edit.start, *(s for s in starts if edit.start < s < end), end]
        for first, last in pairwise(points):
            shift = shifts[max(0, bisect_right(starts, first) - 1)]
            media = edit.media_start + first - edit.start
            yield PlayedRange(media, media + last - first, first + shift)


def _edits_by_track(movie: Movie, source: Readable) -> dict[int, tuple[_Edit, ...]]:
    """The edit lists of a file, by the identifiers of their tracks."""
    tracks: dict[int, tuple[_Edit, ...]] = {}
    scale = media_scale = track = 0
    entries: list[tuple[int, int, int]] = []
    for kind, body in _boxes(source, movie.num_bytes):
        if kind == b"mvhd":
            scale = _scale(body)
        elif kind == b"trak":
            track, media_scale, entries = 0, 0, []
        elif kind == b"tkhd":
            track = int.from_bytes(body[20:24] if body[:1] == b"\1" else body[12:16], "big")
        elif kind == b"elst":
            entries = _entries(body)
        elif kind == b"mdhd":
            media_scale = _scale(body)
        if track and scale and media_scale and entries:
            tracks[track] = _edits(entries, scale, media_scale)
    return tracks


def _edits(
    entries: Sequence[tuple[int, int, int]], scale: int, media_scale: int
) -> tuple[_Edit, ...]:
    edits, now = [], Fraction(0)
    for length, media_start, rate in entries:
        start = None if media_start < 0 else Fraction(media_start, media_scale)
        edits.append(_Edit(now, Fraction(length, scale), start, rate))
        now += Fraction(length, scale)
    return tuple(edits)


def _entries(body: bytes) -> list[tuple[int, int, int]]:
    """(length, start in the media or -1, rate) of each edit, in ticks."""
    count = min(int.from_bytes(body[4:8], "big"), MAX_EDITS)
    layout = struct.Struct(">QqI" if body[:1] == b"\1" else ">IiI")
    data = body[8 : 8 + count * layout.size]
    return list(layout.iter_unpack(data[: len(data) // layout.size * layout.size]))


def _scale(body: bytes) -> int:
    """Ticks per second that a movie's or a media's header declares."""
    return int.from_bytes(body[20:24] if body[:1] == b"\1" else body[12:16], "big")


def _boxes(source: Readable, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the boxes that describe edits, in order; the body of a parent is empty."""
    at = 0
    for _ in range(MAX_BOXES):
        head = source.read(at, at + 16)
        if len(head) < 8 or 0 <= end <= at:
            return
        size, kind, skip = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, skip = int.from_bytes(head[8:16], "big"), 16
        if 0 < size < skip:
            return
        if kind in _PARENTS:
            yield kind, b""
            at += skip
            continue
        if kind in _READ:
            yield kind, source.read(at + skip, at + min(size, MAX_BYTES))
        if size == 0:
            return
        at += size
