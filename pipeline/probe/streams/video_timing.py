"""When the frames of a video stream are on screen: a pure function of its packets.

    container time   |--t0--[ video ................................ ]
    movie timeline          0                                      duration_ns

Single wrong timestamps are rejected, as for audio. A packet's place among its neighbors in decoding
order shows where its time should be: decoding times never decrease, and presentation times differ
from them by no more than reordering takes.

    time  |            x              <- outlier: shown nowhere, the frames after it as usual
          |      . . .   . . . .
          +--------------------- packets
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.streams.packets import PacketTable
from pipeline.probe.streams.video_stream import VideoStream, conceals_errors
from shards_spec.recipe import NANOSECONDS

#: Decoding times that go back by less than this are packets out of order, not a new clock.
JUMP_SECONDS = 1.0
#: A time this far from where its neighbors put it, beyond reordering, is wrong.
OUTLIER_SECONDS = 0.25
#: Neighbors on each side; as many wrong times in a row are still recognized.
OUTLIER_NEIGHBORS = 8
#: With a larger share or number of such times a stream is unordered, and none is rejected.
MAX_OUTLIER_SHARE = 0.05
MAX_OUTLIERS = 500
#: A last frame may be this long even if the file says that it ends earlier.
MAX_USUAL_SECONDS = 1.0


@dataclass(frozen=True)
class Outlier:
    """A wrong timestamp of a frame, ticks."""

    pts: int
    """As it is in the file; another frame may rightly have the same."""
    expected_pts: int
    """About where it should be."""

    @property
    def reach(self) -> int:
        """A frame with this timestamp is the wrong one if the frame before it is less than this
        away from `expected_pts`."""
        return abs(self.pts - self.expected_pts) // 2

    def is_frame(self, pts: int, previous_pts: int) -> bool:
        """Whether a frame is the wrong one, by its timestamp and that of the frame before it."""
        return pts == self.pts and abs(previous_pts - self.expected_pts) < self.reach


@dataclass(frozen=True)
class VideoTiming:
    """The timeline of a video stream. Ticks are of its time base."""

    pts: NDArray[np.int64]
    """(N,) presentation times of the frames that are shown, sorted, ticks."""
    end_pts: int
    """End of the last frame, ticks."""
    keyframes: NDArray[np.int64]
    """(K,) presentation times of keyframes, sorted, ticks; none if the container has no such times.
    """


def time_frames(
    packets: PacketTable, first_pts: int | None, time_base: Fraction, end_seconds: float
) -> VideoTiming:
    """Times of the frames of a stream.

    Args:
        packets: at least one; without outliers.
        first_pts: of the first frame that a decoder returned, ticks: earlier ones are never shown.
            None if it is unknown.
        time_base: seconds per tick.
        end_seconds: container time at which the file says it ends; 0 if it does not.
    """
    order = np.argsort(packets.pts, kind="stable")
    pts, has_pts = packets.pts[order], packets.has_pts[order]
    first = int(pts[0]) if first_pts is None else first_pts
    if not has_pts.all():
        # Some times are decoding times. In a steady stream these equal the presentation times,
        # minus the delay of its reordering.
        decoded = np.sort(packets.dts)
        pts = decoded + (first - int(decoded[0]))
    length = _last_length(pts, int(packets.duration[order[-1]]), time_base, end_seconds)
    keys = packets.pts[order][has_pts & packets.is_key[order]]
    shown = pts[pts >= first]
    if len(shown) == 0:
        shown = pts
    return VideoTiming(shown, int(shown[-1]) + length, keys[keys >= shown[0]])


def find_outliers(
    packets: PacketTable, time_base: Fraction
) -> tuple[NDArray[np.bool_], tuple[Outlier, ...]]:
    """(N,) which packets have a wrong timestamp, and these timestamps in file order."""
    none = np.zeros(len(packets), bool)
    if packets.has_dts.sum() < 3:
        return none, ()
    zero = int(packets.dts.min())
    usual = _ascending(packets) - zero
    delay = packets.pts - zero - usual
    usual_delay = float(np.median(delay))
    # How far reordering moves a frame: not beyond its neighbors.
    places, last = np.arange(len(packets)), len(packets) - 1
    after, before = np.minimum(places + OUTLIER_NEIGHBORS, last), places - OUTLIER_NEIGHBORS
    reach = np.abs(usual[after] - usual[np.maximum(before, 0)])
    slack = OUTLIER_SECONDS / float(time_base)
    wrong: NDArray[np.bool_] = np.abs(delay - usual_delay) > reach + slack
    if wrong.mean() > MAX_OUTLIER_SHARE or wrong.sum() > MAX_OUTLIERS:
        return none, ()
    expected = np.rint(usual[wrong] + usual_delay).astype(np.int64) + zero
    pairs = zip(packets.pts[wrong].tolist(), expected.tolist(), strict=True)
    return wrong, tuple(Outlier(pts, about) for pts, about in pairs)


def corrupt_ns(
    packets: PacketTable, start_pts: int, video: VideoStream
) -> tuple[tuple[int, int], ...]:
    """Ranges from the keyframe before each corrupt packet to the next intact keyframe after it.

    Transport streams number their packets, so that the loss of one is detected. None of codecs
    whose decoders report damaged frames.
    """
    if conceals_errors(video.codec):
        return ()
    keys = np.flatnonzero(packets.is_key)
    intact = np.flatnonzero(packets.is_key & ~packets.is_corrupt)
    pts = packets.pts
    ranges: list[tuple[int, int]] = []
    for packet in np.flatnonzero(packets.is_corrupt):
        # Frames shown before a keyframe may be predicted from it: a corrupt one spoils them too.
        before, after = np.searchsorted(keys, packet), np.searchsorted(intact, packet)
        first = int(pts[keys[before - 1]]) if before else int(pts.min())
        end = int(pts[intact[after]]) if after < len(intact) else int(pts.max()) + 1
        if ranges and first <= ranges[-1][1]:
            first = ranges.pop()[0]
        ranges.append((first, end))
    tick = video.time_base * NANOSECONDS
    return tuple(
        (round((first - start_pts) * tick), round((end - start_pts) * tick))
        for first, end in ranges
    )


def lost_to_jumps_ns(packets: PacketTable, time_base: Fraction) -> int:
    """How much video follows a jump back of the clock, up to where the clock was before.

    Recordings that were concatenated without remuxing do so; the second part overlaps the first.
    """
    if packets.has_dts.sum() < 2:
        return 0
    dts = np.rint(_ascending(packets)[packets.has_dts]).astype(np.int64)
    latest = np.maximum.accumulate(dts)
    # Packets between two new maxima belong together.
    group = np.cumsum(dts == latest)
    tick = float(time_base) * NANOSECONDS
    jumps = dts < latest - JUMP_SECONDS * NANOSECONDS / tick
    is_lost = (dts < latest) & np.isin(group, group[jumps])
    steps = np.diff(dts)
    usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 0.0
    return round(float(is_lost.sum()) * usual * tick)


def still_ns(pts: NDArray[np.int64], time_base: Fraction) -> int:
    """Time in which a frame stayed on screen after its first second."""
    over = np.diff(pts) * float(time_base * NANOSECONDS) - NANOSECONDS
    return round(float(over[over > 0].sum()))


def is_vfr(pts: NDArray[np.int64]) -> bool:
    """Whether more than 1 % of frame distances differ by more than rounding (1 tick) and 5 %."""
    if len(pts) < 3:
        return False
    steps = np.diff(pts)
    median = float(np.median(steps))
    return bool(np.mean(np.abs(steps - median) > max(2.0, 0.05 * median)) > 0.01)


def _last_length(
    pts: NDArray[np.int64], declared: int, time_base: Fraction, end_seconds: float
) -> int:
    """How long the last frame stays on screen, ticks: as declared, or as long as usual.

    If that is long, it may be a guess of ffmpeg's from the frame rate: the frame does not outlast
    the file.
    """
    length = declared
    if length <= 0 and len(pts) > 1:
        length = int(np.median(np.diff(pts)))
    if not end_seconds or length * time_base <= MAX_USUAL_SECONDS:
        return length
    rest = round(end_seconds / time_base) - int(pts[-1])
    return min(length, max(rest, round(MAX_USUAL_SECONDS / time_base)))


def _ascending(packets: PacketTable) -> NDArray[np.float64]:
    """(N,) decoding times without single wrong ones, and with those that are unknown.

    Both are interpolated. Where the clock jumps back and stays there, the times do as well.
    """
    known = np.flatnonzero(packets.has_dts)
    dts = packets.dts[known]
    if np.any(np.diff(dts) < 0):
        is_kept = _longest_ascent(dts)
        edges = np.flatnonzero(np.diff(np.concatenate([[True], is_kept, [True]])))
        for first, end in edges.reshape(-1, 2):
            # Many in a row are another clock, not wrong ones of this.
            is_kept[first:end] |= end - first > OUTLIER_NEIGHBORS
        known, dts = known[is_kept], dts[is_kept]
    places = np.arange(len(packets))
    times: NDArray[np.float64] = np.interp(places, known, dts.astype(np.float64))
    usual = float(np.median(np.diff(dts))) if len(dts) > 1 else 0.0
    times += usual * (np.minimum(places - known[0], 0) + np.maximum(places - known[-1], 0))
    return times


def _longest_ascent(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) which values form the longest subsequence that never descends."""
    tails: list[int] = []
    ends: list[int] = []
    """Index of the last value of the best subsequence of each length, and that value."""
    before = np.full(len(values), -1)
    for place, value in enumerate(values.tolist()):
        length = bisect.bisect_right(ends, value)
        before[place] = tails[length - 1] if length else -1
        tails[length : length + 1] = [place]
        ends[length : length + 1] = [value]
    is_kept = np.zeros(len(values), bool)
    place = tails[-1]
    while place >= 0:
        is_kept[place] = True
        place = int(before[place])
    first, *others = np.flatnonzero(is_kept)[:2]
    if first and others and values[first] < values[first - 1] <= values[others[0]]:
        # Of two possible first values the one that is nearer to the others.
        is_kept[[first - 1, first]] = True, False
    return is_kept
