r"""What a decoder says of damaged pictures, and which of its frames are to be trusted then.

ffmpeg's lines come in the order of the decoder's work, so that each complaint has a place between
two frames that it gave. Two kinds of decoders:

- those that mend (H.264, MPEG-1/2/4 and kin) mark each frame that they had to mend. Damage lasts
  from such a frame to the next keyframe without a mark;
- the others (HEVC, VP8, VP9, AV1, ...) complain, and leave pictures out or show what lies in
  memory. Damage lasts from the last frame before the complaint to a keyframe so far behind it
  that its own packet cannot have been meant.

Of HEVC, damage that its decoder does not notice cannot be told: parts of a picture then show what
lay in memory, and differ from run to run. Where the container knows of it, `Probe.broken_ns` does.

    frames       f f f f   f f f f f  ...  f K f f
    complaints          !
    damage             [-------------------)
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pipeline.probe import conceals_errors

#: What `-debug_ts` reports of a frame that leaves the decoder, and what stands before it when the
#: decoder had to mend the frame from earlier ones.
_DECODED = re.compile(
    r"decoder -> .*?(?:best_effort_ts|\bpts):(-?\d+|NOPTS) .*keyframe:(\d) +frame_type:(\d)"
)
_MENDED = "corrupt decoded frame"
#: From here on lines are of the run itself, not of ffmpeg's first look into the file.
_STARTED = "Stream mapping:"
#: Complaints of any part of ffmpeg, and warnings that are about pictures.
_COMPLAINTS = ("[error]", "[fatal]", "[panic]", "undecodable NAL", "Packet corrupt", "find ref")
#: A decoder's own, but for what stands beside the pictures and may be broken without harm to them.
_OF_PICTURES = r"\[(?:dec:)?(?:lib)?%s @ [^]]*\](?!.*\b(?:SEI|VPS|VUI|profile|side data)\b)"
#: HEVC's words for a picture that refers to others which are not there, and for a broken keyframe:
#: these are NAL units 16 to 23.
_UNREFERRED = re.compile(r"find ref|frame RPS|undecodable NALU: (?:\d|1[0-5])$")
_BROKEN_KEY = re.compile(r"undecodable NALU: (?:1[6-9]|2[0-3])$")
#: A decoder that lacks pictures to refer to.
_LACKS = re.compile(
    r"\[\w+ @[^]]*\] (?:\[\w+\] )?(?:co located|mmco|[Ff]rame num|no frame|.*"
    r"([Rr]eference|find ref|short term|undecodable|parsing NAL|slice_header|header damaged))"
)

#: Complaints within so many frames of an entry may be of the entry itself.
ENTRY_FRAMES = 32
#: A keyframe ends damage when so many frames before it came without complaint: a decoder holds back
#: 16 pictures at most, and as many may be shown before a keyframe that was decoded before them.
QUIET_FRAMES = 32
#: Of the usual distance of frames; beyond, one is away.
MISSING = Fraction(7, 4)
_OPEN = 1 << 62


@dataclass(frozen=True)
class Frame:
    """A frame that left the decoder."""

    pts: int
    """Ticks of the stream's time base, from the movie's first frame on."""
    is_key: bool
    is_intra: bool
    """Whether it is coded without reference to others; also where the decoder does not tell."""
    is_mended: bool


class DecoderLog:
    """Gathers what one run of ffmpeg says. Frames are counted as they leave the decoder.

    All answers are about the first `count` frames and what was said before the last of them, so
    that they do not depend on how far the decoder was ahead when it was asked.
    """

    def __init__(
        self,
        codec: str,
        start_pts: int,
        longest: Fraction,
        *,
        is_vfr: bool,
        entry_pts: int = -_OPEN,
    ) -> None:
        """Begin with no frame.

        Args:
            codec: by ffmpeg's name.
            start_pts: the movie's t = 0, ticks.
            longest: how long a frame may stay without a reason to look again, ticks.
            is_vfr: whether frames have no common distance.
            entry_pts: of the keyframe that was asked for, ticks. Where a file is searched by
                decoding times, frames before it may come out first, and are none of ours.
        """
        self.frames: list[Frame] = []
        self._longest = longest
        # What comes before a keyframe may still bear on what a decoder that mends makes behind it.
        self._entry_pts = -_OPEN if conceals_errors(codec) else entry_pts
        self._is_entered = False
        # MPEG-1 and 2 know no such thing, and do not notice when a picture is away.
        self._is_vfr = is_vfr and not codec.endswith("video")
        self._start_pts = start_pts
        self._mends = conceals_errors(codec)
        decoder = "dav1d" if codec == "av1" else re.escape(codec)
        self._of_pictures = re.compile(_OF_PICTURES % decoder)
        self._is_started = self._is_mended = False
        self._is_unreferred = self._is_entry_broken = False
        self._latest: list[int] = []
        """Latest pts up to each frame."""
        self._complaints: list[int] = []
        """Frames that were out at each complaint, ascending; so for the two below."""
        self._broken: list[int] = []
        self._lacking: list[int] = []

    def note(self, line: str) -> None:
        """Take in a line of ffmpeg's stderr."""
        # ffmpeg's threads share a line at times: one's words may stand behind another's.
        if not self._is_started:
            self._is_started = _STARTED in line
        elif _MENDED in line:
            self._is_mended = True
        elif found := _DECODED.search(line):
            self._add(*found.groups())
        elif any(word in line for word in _COMPLAINTS):
            self._complain(line)

    @property
    def first_intra_pts(self) -> int | None:
        """Of the first frame that needs none before it."""
        return next((frame.pts for frame in self.frames if frame.is_intra), None)

    @property
    def tells_broken_entry(self) -> bool:
        """Whether a keyframe that was to be entered at is broken, and no decoder mends it."""
        return self._is_entry_broken

    def shown_at(self, pts: Fraction) -> int:
        """Time of the frame that is on screen at a time, ticks; the first one before it.

        A clock that jumps back shows nothing until it is where it was.
        """
        return self._latest[max(0, bisect.bisect_right(self._latest, pts) - 1)]

    def frames_until(self, pts: int) -> int:
        """How many frames came before the first one that is later than `pts`."""
        return bisect.bisect_right(self._latest, pts)

    def is_quiet(self, count: int) -> bool:
        """Whether nothing at all was said against the film."""
        return not self._complaints or self._complaints[0] >= count

    def lacks_pictures(self, count: int) -> bool:
        """Whether, after an entry, later pictures refer past it: then it was none."""
        # Those that do not mend leave such pictures out; see `damage`.
        last = min(count, ENTRY_FRAMES) if self._mends else 0
        return any(1 <= place < last for place in self._lacking)

    def damage(self, count: int) -> list[tuple[int, int]]:
        """Stretches [start, end) of damage, ticks from the movie's first frame on."""
        frames = self.frames[:count]
        if self._mends:
            return mended(frames)
        complaints = [place for place in self._broken if place < count]
        if self._is_unreferred and complaints and complaints[0] <= ENTRY_FRAMES:
            # Not only pictures before the entry lacked others, but also some behind it.
            complaints.insert(0, 0)
        return broken(frames, complaints)

    def _add(self, time: str, is_key: str, kind: str) -> None:
        place = len(self.frames)
        latest = self._latest[-1] if place else -_OPEN
        if time != "NOPTS":
            pts = int(time) - self._start_pts
        else:
            # ffmpeg goes on by the length of a frame.
            pts = 2 * latest - self._latest[-2] if place > 1 else max(latest + 1, 0)
        is_steady = time != "NOPTS" and self._is_steady(pts - latest)
        self._is_entered |= pts >= self._entry_pts
        if self._is_entered and (self._is_mended or not is_steady):
            self._complaints.append(place)
        self.frames.append(Frame(pts, is_key == "1", kind in "01", self._is_mended))
        self._latest.append(max(pts, latest))
        self._is_mended = False

    def _is_steady(self, distance: int) -> bool:
        """Whether the clock goes on as it did, so that no frame is away and no time wrong."""
        if not self._is_entered:
            return True
        if not self._is_vfr:
            # The least distance so far is that of frames without another one between them.
            self._longest = min(self._longest, MISSING * max(1, distance))
        return 0 < distance < self._longest

    def _complain(self, line: str) -> None:
        place = len(self.frames)
        if not self._is_entered and self._mends:
            # At an open entry leading pictures lack others, as they should.
            return
        if not self._is_entered and _UNREFERRED.search(line):
            # So do those that stand before the entry, where it cannot be found to the byte.
            self._is_unreferred = True
            return
        self._is_entry_broken |= not self._is_entered and _BROKEN_KEY.search(line) is not None
        self._complaints.append(place)
        if self._of_pictures.search(line):
            self._broken.append(place)
        if _LACKS.search(line):
            self._lacking.append(place)


def mended(frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """From each mended frame to the next keyframe that is whole."""
    found: list[tuple[int, int]] = []
    start: int | None = None
    for frame in frames:
        if frame.is_mended and start is None:
            start = frame.pts
        elif start is not None and frame.is_key and not frame.is_mended:
            found.append((start, frame.pts))
            start = None
    return found if start is None else [*found, (start, _OPEN)]


def broken(frames: Sequence[Frame], complaints: Sequence[int]) -> list[tuple[int, int]]:
    """From the last frame before each complaint to a keyframe well behind it.

    `complaints` are the numbers of frames that were out, ascending.
    """
    keys = [place for place, frame in enumerate(frames) if frame.is_key]
    found: list[tuple[int, int]] = []
    is_over = True
    for place, following in pairwise([*complaints, _OPEN]):
        if is_over:
            found.append((frames[place - 1].pts + 1 if place else -_OPEN, _OPEN))
        first = bisect.bisect_left(keys, place + QUIET_FRAMES)
        is_over = first < len(keys) and keys[first] < following
        if is_over:
            found[-1] = (found[-1][0], frames[keys[first]].pts)
    return found
