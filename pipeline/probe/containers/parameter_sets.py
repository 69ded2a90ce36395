"""At which keyframes of H.264 and HEVC a decoder has the parameter sets that it needs.

No matter what the container says, packets may bring sets: some files repeat them at every keyframe,
some send them once, some change only one of several. A run that enters at a keyframe knows the sets
of the container's configuration and those of the entry itself; the run from the start knows all
that came before. A keyframe is an entry if both know the same.

    packets       K p p K p p K p p K p p
    sets          A     A     B
    entry         .     yes   yes   no, unless the container's configuration is B
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TimedOutError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path, ffprobe_path
from pipeline.ffmpeg.inputs import input_arguments, input_stream
from pipeline.probe.containers.set_units import (
    H264_SEI,
    KINDS,
    Sets,
    sets_in,
    sets_of_configuration,
)
from pipeline.probe.streams.stream_list import InputOptions, as_arguments
from pipeline.sources import Movie, Readable

CODECS = frozenset(KINDS)
#: With more bytes of parameter sets than this, nothing is proved.
MAX_BYTES = 1 << 26

_EXTRADATA = re.compile(r"#extradata 0: *(\d+), *(0x[0-9a-f]+)")
_PACKET = re.compile(r"0, *(-?\d+), *(-?\d+), *\d+, *(\d+), *(0x[0-9a-f]+)")
_FLAGS = re.compile(rb"F=0x([0-9A-Fa-f]+)")
_HEX = re.compile(r"^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+)", re.MULTILINE)

_Content = tuple[int, str]
"""Size in bytes, and checksum."""


@dataclass
class _Scan:
    """The packets of a stream, and those that bring parameter sets, in file order."""

    pts: array[int] = field(default_factory=lambda: array("q"))
    """Of all packets."""
    is_key: bytearray = field(default_factory=bytearray)
    initial: _Content = (0, "")
    """The container's configuration."""
    set_pts: list[int] = field(default_factory=list)
    """Of the packets with sets."""
    contents: list[_Content] = field(default_factory=list)
    """Their sets."""

    def note(self, line: str) -> None:
        """Process a line about the sets of a packet."""
        if match := _EXTRADATA.match(line):
            self.initial = (int(match.group(1)), match.group(2))
        elif match := _PACKET.match(line):
            self.set_pts.append(int(match.group(2)))
            self.contents.append((int(match.group(3)), match.group(4)))

    def keyframes(self) -> NDArray[np.int64]:
        """(K,) times of keyframes, ticks."""
        return np.array(self.pts, np.int64)[np.frombuffer(bytes(self.is_key), np.bool_)]


def keyframes_with_sets(
    movie: Movie, source: Readable, options: InputOptions, stream: int, codec: str, pixels: str
) -> NDArray[np.int64]:
    """(K,) times of the keyframes at which the decoder may start, ticks.

    Reads the whole movie, without decoding. `codec` is one of `CODECS`, `pixels` ffmpeg's name of
    the pixel format. Raises `MovieError` if ffmpeg is stopped.
    """
    kinds = KINDS[codec]
    if codec == "h264" and ("444" in pixels or "gbr" in pixels):
        kinds = (*kinds, H264_SEI)
    graph = "filter_units=pass_types=" + "|".join(map(str, kinds))
    scan = _scan(movie, source, options, stream, graph)
    keyframes = scan.keyframes()
    if _are_all_equal(scan, keyframes):
        return keyframes
    units = _read_units(movie, source, options, stream, graph, scan)
    if units is None:
        return keyframes[:1]
    initial = sets_of_configuration(codec, read_extradata(source, options, stream, movie.name))
    return _entries(scan, initial, [sets_in(codec, data) for data in units])


def _are_all_equal(scan: _Scan, keyframes: NDArray[np.int64]) -> bool:
    """Whether all sets are the same, and every entry has them."""
    if not scan.contents:
        return True
    if any(content != scan.contents[0] for content in scan.contents):
        return False
    return scan.contents[0] == scan.initial or bool(np.isin(keyframes, scan.set_pts).all())


def _entries(scan: _Scan, initial: Sets, brought: Sequence[Sets]) -> NDArray[np.int64]:
    """Keyframes at which only the configuration and their own sets are in force."""
    pts = np.array(scan.pts, np.int64)
    places = _places(pts, np.array(scan.set_pts, np.int64))
    if places is None:
        return scan.keyframes()[:1]
    at = dict(zip(places.tolist(), brought, strict=True))
    in_force: Sets = dict(initial)
    entries = []
    for place in sorted({*np.flatnonzero(np.frombuffer(bytes(scan.is_key), np.bool_)), *at}):
        own = at.get(place, {})
        in_force |= own
        if scan.is_key[place] and initial | own == in_force:
            entries.append(int(pts[place]))
    return np.array(entries, np.int64)


def _places(pts: NDArray[np.int64], set_pts: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """(S,) the numbers of packets with these times; None unless all are there, in order."""
    order = np.argsort(pts, kind="stable")
    found = np.searchsorted(pts[order], set_pts)
    places = order[np.minimum(found, len(pts) - 1)]
    is_usable = np.array_equal(pts[places], set_pts) and bool(np.all(np.diff(places) > 0))
    return places if is_usable else None


def _scan(movie: Movie, source: Readable, options: InputOptions, stream: int, graph: str) -> _Scan:
    scan = _Scan()
    outputs = (
        ("pipe:1", {"format": "framecrc"}),
        ("pipe:2", {"format": "framecrc", "bsf:v": graph}),
    )
    command = _command(source, options, stream, outputs)
    run = FfmpegProcess(command, source, what=movie.name, on_line=scan.note, decodes=False)
    with run as process:
        for line in process.lines():
            if line.startswith(b"#"):
                continue
            # stream, dts, pts, duration, size, checksum, and flags if it is not simply a keyframe.
            flags = _FLAGS.search(line)
            scan.pts.append(int(line.split(b",", 3)[2]))
            scan.is_key.append(flags is None or int(flags.group(1), 16) & 1)
        process.finish(tolerate_errors=True)
    return scan


def _read_units(
    movie: Movie, source: Readable, options: InputOptions, stream: int, graph: str, scan: _Scan
) -> list[bytes] | None:
    """The sets of each packet of the scan, with start codes; None if they cannot be had."""
    sizes = [size for size, _ in scan.contents]
    if sum(sizes) > MAX_BYTES:
        return None
    outputs = (("pipe:1", {"format": "rawvideo", "bsf:v": graph}),)
    command = _command(source, options, stream, outputs)
    try:
        with FfmpegProcess(command, source, what=movie.name, decodes=False) as process:
            data = process.read_some(MAX_BYTES + 1)
            process.finish(tolerate_errors=True)
    except TimedOutError:
        # No progress can be seen while packets bring no sets.
        return None
    if len(data) != sum(sizes):
        return None
    ends = accumulate(sizes, initial=0)
    return [data[start:end] for start, end in pairwise(ends)]


def _command(
    source: Readable,
    options: InputOptions,
    stream: int,
    outputs: Sequence[tuple[str, dict[str, str]]],
) -> list[str]:
    opened = input_stream(source, **dict(options), copyts=None)[str(stream)]
    copies = [
        ffmpeg.output(opened, to, codec="copy", copyinkf=None, **shown) for to, shown in outputs
    ]
    merged = ffmpeg.merge_outputs(*copies).global_args("-nostdin", "-hide_banner", "-v", "error")
    command: list[str] = ffmpeg.compile(merged, cmd=ffmpeg_path())
    return command


def read_extradata(source: Readable, options: InputOptions, stream: int, what: str) -> bytes:
    """The decoder configuration of the container; empty if it has none. `what` names the movie."""
    arguments = ("-v", "error", *as_arguments(options), "-select_streams", str(stream))
    shown = ("-show_data", "-show_entries", "stream=extradata", "-of", "json")
    command = [ffprobe_path(), *arguments, *shown, *input_arguments(source)]
    with FfmpegProcess(command, source, what=what, decodes=False) as process:
        text = process.read_all(MAX_BYTES)
        process.finish(tolerate_errors=True)
    streams = json.loads(text or "{}").get("streams", [])
    dump = str(streams[0].get("extradata", "")) if streams else ""
    return bytes.fromhex("".join(_HEX.findall(dump)))
