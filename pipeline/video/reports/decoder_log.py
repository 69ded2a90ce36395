r"""Reads from ffmpeg's log which frames are damaged, and which of a run's frames can be trusted.

ffmpeg logs in the order of the decoder's work, so each message falls between two decoded frames.
There are two kinds of decoders:

- those that conceal errors (H.264, MPEG-1/2/4 and similar) mark each frame that they concealed.
  Damage lasts from such a frame to the next keyframe without a mark;
- the others (HEVC, VP8, VP9, AV1, ...) report errors, and leave frames out or show what happens to
  be in memory. Damage lasts from the last frame before the message to a keyframe so far after it
  that the message cannot be about the keyframe's own packet.

Some damage is not in the log: ffmpeg's HEVC decoder does not report a slice that ends early. What
the rest of such a frame shows is explained in `held_frames`, which makes it the same in each run of
a movie about which anything else is reported. Where the container knows of lost packets,
`Probe.corrupt_ns` does.

    frames       f f f f   f f f f f  ...  f K f f
    messages            !
    damage             [-------------------)
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor

from pipeline.probe.disposable.reordering import MISSING
from pipeline.probe.streams.video_stream import conceals_errors
from pipeline.probe.streams.video_timing import Outlier
from pipeline.video.selective import RunSelection

#: What `-debug_ts` reports about a frame that leaves the decoder, and what precedes it if the
#: decoder concealed errors in the frame.
_DECODED = re.compile(
    r"decoder -> .*?(?:best_effort_ts|\bpts):(-?\d+|NOPTS) .*keyframe:(\d) +frame_type:(\d)"
)
_CONCEALED = "corrupt decoded frame"
#: Lines after this one are about decoding; earlier ones are about ffmpeg's own probing.
_STARTED = "Stream mapping:"
#: Errors of any part of ffmpeg, and warnings that concern video.
_ERRORS = ("[error]", "[fatal]", "[panic]", "undecodable NAL", "Packet corrupt", "find ref")
#: Messages of the decoder itself, except about metadata that may be broken without harm to frames.
_OF_DECODER = r"\[(?:dec:)?(?:lib)?%s @ [^]]*\](?!.*\b(?:SEI|VPS|VUI|profile|side data)\b)"
#: HEVC's messages about a frame whose references are missing, and about a corrupt keyframe (NAL
#: unit types 16 to 23).
_MISSING_REFERENCE = re.compile(r"find ref|frame RPS|undecodable NALU: (?:\d|1[0-5])$")
_CORRUPT_KEYFRAME = re.compile(r"undecodable NALU: (?:1[6-9]|2[0-3])$")
#: Messages of a decoder that lacks reference frames.
_LACKS_REFERENCES = re.compile(
    r"\[\w+ @[^]]*\] (?:\[\w+\] )?(?:co located|mmco|[Ff]rame num|no frame|.*"
    r"([Rr]eference|find ref|short term|undecodable|parsing NAL|slice_header|header damaged))"
)

#: Errors within this many frames of an entry may be about the entry itself.
ENTRY_FRAMES = 32
#: A keyframe ends damage if this many frames before it came without an error: a decoder holds back
#: 16 frames at most, and as many may be shown before a keyframe that was decoded before them.
QUIET_FRAMES = 32
_OPEN = 1 << 62


@dataclass(frozen=True)
class DecodedFrame:
    """A frame that left the decoder."""

    pts: int
    """Ticks of the stream's time base, relative to the movie's first frame."""
    is_key: bool
    is_intra: bool
    """Whether it is coded without reference to others; also true if the decoder does not say."""
    is_concealed: bool
    is_left_out: bool = False
    """Whether the decoder never saw it."""


class DecoderLog:
    """Collects what one run of ffmpeg logs. Frames are counted as they leave the decoder.

    All answers are about the first `count` frames and the messages before the last of them, so
    they do not depend on how far ahead the decoder was when it was asked.
    """

    def __init__(
        self,
        codec: str,
        start_pts: int,
        longest: Fraction,
        *,
        is_vfr: bool,
        outliers: Sequence[Outlier] = (),
        entry_pts: int = -_OPEN,
        selection: RunSelection | None = None,
    ) -> None:
        """Start without a frame.

        Args:
            codec: ffmpeg's name.
            start_pts: the movie's t = 0, ticks.
            longest: how long a frame may stay on screen before it is suspicious, ticks.
            is_vfr: whether frames have no common distance.
            outliers: wrong timestamps; frames that have them are not shown.
            entry_pts: of the requested keyframe, ticks. Where ffmpeg seeks by decoding time, frames
                before it may be decoded first; they are not part of the result.
            selection: frames that the decoder never sees. They are counted like the others, when
                the next frame after them leaves the decoder.
        """
        self._selection = selection
        self.frames: list[DecodedFrame] = []
        self._longest = longest
        self._shortest = _OPEN
        """Least distance of two frames so far, ticks; at least 1."""
        # Frames before a keyframe may still affect how errors after it are concealed.
        self._entry_pts = -_OPEN if conceals_errors(codec) else entry_pts
        self._is_entered = False
        # The MPEG-1 and 2 decoder does not notice a missing frame; the clock has to. With a
        # selection the times of all frames are known.
        self._is_vfr = (is_vfr and not codec.endswith("video")) or selection is not None
        self._start_pts = start_pts
        self._outliers = outliers
        self._conceals = conceals_errors(codec)
        decoder = "dav1d" if codec == "av1" else re.escape(codec)
        self._of_decoder = re.compile(_OF_DECODER % decoder)
        self._is_started = self._is_concealed = False
        self._misses_references = self._entry_is_corrupt = False
        self._latest: list[int] = []
        """Latest pts up to each frame."""
        self._errors: list[int] = []
        """Number of frames decoded before each error, ascending; likewise the next two."""
        self._decoder_errors: list[int] = []
        self._reference_errors: list[int] = []

    def note(self, line: str) -> None:
        """Process one line of ffmpeg's stderr."""
        # ffmpeg's threads sometimes share a line: two messages may be on one.
        if not self._is_started:
            self._is_started = _STARTED in line
        elif _CONCEALED in line:
            self._is_concealed = True
        elif match := _DECODED.search(line):
            self._add(*match.groups())
        else:
            # Not `any`: packets are reported here too, and there are many.
            for word in _ERRORS:
                if word in line:
                    self._note_error(line)
                    return

    @property
    def first_intra_pts(self) -> int | None:
        """Of the first frame that needs none before it."""
        return next((frame.pts for frame in self.frames if frame.is_intra), None)

    @property
    def entry_is_corrupt(self) -> bool:
        """Whether the requested keyframe is corrupt, and the decoder does not conceal errors."""
        return self._entry_is_corrupt

    def shown_at(self, pts: Fraction) -> int:
        """Time of the frame that is on screen at a time, ticks; before the first one, of that.

        After a clock jumps back, the frame before the jump stays until the clock catches up.
        """
        # Whole numbers compare faster, and all of the latest are.
        index = max(0, bisect.bisect_right(self._latest, floor(pts)) - 1)
        # Only in fast mode is such a frame due: the one before it is shown.
        while index and self.frames[index].is_left_out:
            index -= 1
        return self._latest[index]

    def frames_until(self, pts: int) -> int:
        """How many frames came before the first one that is later than `pts`."""
        return bisect.bisect_right(self._latest, pts)

    def has_no_errors(self, count: int) -> bool:
        """Whether nothing suspicious was logged at all."""
        return not self._errors or self._errors[0] >= count

    def lacks_references(self, count: int) -> bool:
        """Whether frames after an entry refer to frames before it, so that it is not an entry."""
        # Decoders that do not conceal errors leave such frames out; see `damage`.
        last = min(count, ENTRY_FRAMES) if self._conceals else 0
        return any(1 <= index < last for index in self._reference_errors)

    def damage(self, count: int) -> list[tuple[int, int]]:
        """Damaged ranges [start, end), ticks relative to the movie's first frame."""
        frames = self.frames[:count]
        if self._conceals:
            return concealed_ranges(frames)
        errors = [index for index in self._decoder_errors if index < count]
        if self._misses_references and errors and errors[0] <= ENTRY_FRAMES:
            # References were missing not only before the entry, but also after it.
            errors.insert(0, 0)
        return broken_ranges(frames, errors)

    def _add(self, time: str, is_key: str, kind: str) -> None:
        index = len(self.frames)
        latest = self._latest[-1] if index else -_OPEN
        if time != "NOPTS":
            pts = int(time) - self._start_pts
        else:
            # ffmpeg advances by the length of a frame.
            pts = 2 * latest - self._latest[-2] if index > 1 else max(latest + 1, 0)
        is_outlier = self._is_outlier(pts, latest if index else 0)
        if is_outlier:
            # It is not shown: the frame before it stays on screen.
            pts = max(latest, 0)
        if self._selection is not None:
            self._add_left_out(self._selection, pts)
        frame = DecodedFrame(pts, is_key == "1", kind in "01", self._is_concealed)
        self._append(frame, is_known=time != "NOPTS" and not is_outlier)
        self._is_concealed = False

    def _add_left_out(self, selection: RunSelection, pts: int) -> None:
        """Add the frames between the latest one and the next, which is shown at `pts`."""
        latest = self._latest[-1] if self._latest else None
        left_out, are_all = selection.between(latest, pts)
        for time in left_out:
            left = DecodedFrame(time, False, False, False, is_left_out=True)
            self._append(left, is_known=True)
        if not are_all:
            self._errors.append(len(self.frames))

    def _append(self, frame: DecodedFrame, *, is_known: bool) -> None:
        """Add the next frame; `is_known` if its time is that of its packet."""
        index = len(self.frames)
        latest = self._latest[-1] if index else -_OPEN
        is_steady = is_known and self._is_steady(frame.pts - latest)
        self._is_entered |= frame.pts >= self._entry_pts
        if self._is_entered and (frame.is_concealed or not is_steady):
            self._errors.append(index)
        self.frames.append(frame)
        self._latest.append(max(frame.pts, latest))

    def _is_outlier(self, pts: int, previous: int) -> bool:
        pts, previous = pts + self._start_pts, previous + self._start_pts
        return any(outlier.is_frame(pts, previous) for outlier in self._outliers)

    def _is_steady(self, distance: int) -> bool:
        """Whether the distance of two frames is usual: no frame is missing and no time wrong."""
        if not self._is_entered:
            return True
        if not self._is_vfr and distance < self._shortest:
            # The shortest distance so far is that of frames with none missing between them.
            self._shortest = max(1, distance)
            self._longest = min(self._longest, MISSING * self._shortest)
        return 0 < distance < self._longest

    def _note_error(self, line: str) -> None:
        index = len(self.frames)
        if not self._is_entered and self._conceals:
            # At an open group of pictures the leading frames lack references; that is normal.
            return
        if not self._is_entered and _MISSING_REFERENCE.search(line):
            # So do frames before the entry, where ffmpeg cannot seek to the exact byte.
            self._misses_references = True
            return
        self._entry_is_corrupt |= not self._is_entered and bool(_CORRUPT_KEYFRAME.search(line))
        self._errors.append(index)
        if self._of_decoder.search(line):
            self._decoder_errors.append(index)
        if _LACKS_REFERENCES.search(line):
            self._reference_errors.append(index)


def concealed_ranges(frames: Sequence[DecodedFrame]) -> list[tuple[int, int]]:
    """Ranges [start, end) from each concealed frame to the next intact keyframe, ticks."""
    ranges: list[tuple[int, int]] = []
    start: int | None = None
    for frame in frames:
        if frame.is_concealed and start is None:
            start = frame.pts
        elif start is not None and frame.is_key and not frame.is_concealed:
            ranges.append((start, frame.pts))
            start = None
    return ranges if start is None else [*ranges, (start, _OPEN)]


def broken_ranges(frames: Sequence[DecodedFrame], errors: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges [start, end) from the last frame before each error to a keyframe well after it, ticks.

    `errors` are numbers of frames decoded before each error, ascending.
    """
    keys = [index for index, frame in enumerate(frames) if frame.is_key]
    ranges: list[tuple[int, int]] = []
    is_over = True
    for index, following in pairwise([*errors, _OPEN]):
        if is_over:
            ranges.append((frames[index - 1].pts + 1 if index else -_OPEN, _OPEN))
        first = bisect.bisect_left(keys, index + QUIET_FRAMES)
        is_over = first < len(keys) and keys[first] < following
        if is_over:
            ranges[-1] = (ranges[-1][0], frames[keys[first]].pts)
    return ranges
