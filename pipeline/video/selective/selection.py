"""Leaves out, before the decoder, frames that no clip shows and no other frame refers to.

    frames   I  b  B  b  P  b  B  b  P      b: no other frame refers to it
    grid     |     .        |        |      . between frames: the one before is on screen
    decoder  I  b  B     P     B  b  P

Also left out are all frames that the decoder sees between the last one that a clip shows and an IDR
frame: later frames do not refer to them.

What remains is decoded to the same frames as otherwise. A run without some frames is only trusted
if all others arrive, in their order, and nothing is reported; see `restarts`.

In fast mode a frame that a clip shows is left out as well if the one before it is decoded, which
the grid then shows: it is one source frame too early.

Whether frames are left out depends on the file and the recipe alone, never on segments.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.movie_plan import MoviePlan
from pipeline.probe.disposable.frames import DisposableFrames
from pipeline.probe.streams.packets import PacketOrder
from pipeline.video.selective.expression import expression, max_ticks

#: With a smaller share of frames to leave out, nothing is gained.
MIN_SHARE = 0.1
#: These many frames at the end stay, because ffmpeg derives the end of the video from them.
NUM_LAST = 64
#: Frames with less than this share of their usual distance between some of them are not numbered.
MIN_DENSITY = 0.25
#: Largest number of a grid step times the units of a fraction.
_MAX_NUMBER = 1 << 62


@dataclass(frozen=True)
class Selection:
    """The N frames of a movie in the order of presentation. Ticks are those of its time base."""

    pts: NDArray[np.int64]
    """(N,) since the movie's first frame, sorted, ticks."""
    is_left_out: NDArray[np.bool_]
    tail_end: NDArray[np.int64]
    """(N,) for frames that are left out before an IDR frame, though others refer to them, the
    latest time of these, ticks; for all others their own time."""
    start_pts: int
    """Container time of the movie's first frame, ticks."""
    step: int
    """Smallest distance of two frames, ticks."""

    @property
    def reach(self) -> int:
        """How much time after its entry a run can leave frames out, ticks."""
        return max_ticks(self.step)

    @property
    def num_left_out(self) -> int:
        """Frames that no decoder sees."""
        return int(self.is_left_out.sum())

    def of_run(self, entry_pts: int, end_pts: int) -> RunSelection | None:
        """The selection for a run of the decoder; None if it leaves nothing out.

        Args:
            entry_pts: time of the keyframe at which it enters, or of the first frame.
            end_pts: time up to which its frames are used.
        """
        first = entry_pts
        # A frame that others refer to is left out with all of these, or not at all.
        inside = (self.pts >= first) & (self.tail_end < min(end_pts, first + self.reach))
        left_out = self.pts[inside & self.is_left_out]
        if not len(left_out):
            return None
        return RunSelection(
            pts=self.pts[self.pts >= first].tolist(),
            left_out=frozenset(left_out.tolist()),
            first_pts=first,
            packets=expression(left_out + self.start_pts, self.step),
        )


@dataclass(frozen=True)
class RunSelection:
    """What one run of the decoder leaves out. Times are ticks since the movie's first frame."""

    pts: list[int]
    """Of all frames from the entry on, sorted."""
    left_out: frozenset[int]
    first_pts: int
    """Of the entry."""
    packets: str
    """ffmpeg's expression for the packets to leave out."""

    @property
    def bitstream_filter(self) -> str:
        """The filter for the input's packets."""
        return f"noise=drop='{self.packets}'"

    def between(self, previous_pts: int | None, pts: int) -> tuple[list[int], bool]:
        """The log between two consecutive decoded frames; the first one has none before it.

        Returns:
            Times of the frames that were left out, and whether these are all, as they should be.
        """
        if pts <= self.first_pts:
            return [], True
        first = 0 if previous_pts is None else bisect.bisect_right(self.pts, previous_pts)
        end = bisect.bisect_left(self.pts, pts)
        times = self.pts[first:end]
        left_out = [time for time in times if time in self.left_out]
        is_known = end < len(self.pts) and self.pts[end] == pts and pts not in self.left_out
        return left_out, is_known and len(left_out) == len(times)


def selection_of(plan: MoviePlan) -> Selection | None:
    """The selection for a movie; None if all of its frames have to be decoded."""
    probe = plan.probe
    return _selection(
        probe.disposable,
        probe.packet_order,
        probe.start_pts,
        tuple(probe.video.time_base * rate for rate in plan.rates),
        is_one_shape=not probe.shapes,
        is_fast=plan.is_fast,
    )


def unneeded(pts: NDArray[np.int64], steps_per_tick: Fraction) -> NDArray[np.bool_]:
    """(N,) which frames are on screen at no step of the grid.

    `pts` (N,) are sorted, in ticks since step 0. A frame stays until the next one; the last one
    always counts as needed.
    """
    # The first step at or after each frame.
    first = -(-pts * steps_per_tick.numerator // steps_per_tick.denominator)
    return np.append(first[:-1] == first[1:], False)


def replaced(is_left_out: NDArray[np.bool_], may_be: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) also the frames in whose place the one before can be shown, because it is decoded.

    Of the N frames in the order of presentation, `is_left_out` are those that no clip needs, and
    `may_be` those to which no other refers.
    """
    result = is_left_out.copy()
    for index in np.flatnonzero(may_be & ~is_left_out).tolist():
        result[index] = index > 0 and not result[index - 1]
    return result


def last_ones(
    is_needed: NDArray[np.bool_], is_reset: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The frames after the last needed one before each reset, and after the last reset.

    Args:
        is_needed: (N,) of the frames in file order.
        is_reset: (N,) whether no frame from there on refers to an earlier one.

    Returns:
        (N,) whether it is such a frame, and (N,) between how many resets it is.
    """
    groups = np.cumsum(is_reset, dtype=np.int64)
    number = np.arange(len(groups))
    last = np.full(groups[-1] + 1, -1)
    np.maximum.at(last, groups, np.where(is_needed | is_reset, number, -1))
    return number > last[groups], groups


@lru_cache(maxsize=2)
def _selection(
    disposable: DisposableFrames,
    order: PacketOrder,
    start_pts: int,
    grids: tuple[Fraction, ...],
    *,
    is_one_shape: bool,
    is_fast: bool,
) -> Selection | None:
    may_be = disposable.is_disposable()
    if not may_be.any() or not is_one_shape:
        return None
    in_file = order.pts() - start_pts
    by_time = np.argsort(in_file)
    pts = in_file[by_time]
    step = int(np.diff(pts).min())
    is_dense = step > 0 and (pts[-1] - pts[0]) * MIN_DENSITY <= step * len(pts)
    largest = max(steps_per_tick.numerator for steps_per_tick in grids)
    if not is_dense or np.abs(pts).max() * largest > _MAX_NUMBER:
        return None
    is_shown = np.zeros(len(pts), np.bool_)
    for steps_per_tick in grids:
        is_shown[by_time] |= ~unneeded(pts, steps_per_tick)
    is_last = np.arange(len(pts)) >= len(pts) - NUM_LAST
    is_last[by_time[-NUM_LAST:]] = True
    may_be = may_be & ~is_last
    tail, groups = last_ones(is_shown | is_last | ~disposable.is_plain(), disposable.is_reset())
    ends = np.full(groups[-1] + 1, in_file.min())
    np.maximum.at(ends, groups[tail], in_file[tail])
    tail_end = np.where(tail & ~may_be, ends[groups], in_file)[by_time]
    is_left_out = ((may_be & ~is_shown) | tail)[by_time]
    if is_fast:
        is_left_out = replaced(is_left_out, may_be[by_time])
    if is_left_out.mean() < MIN_SHARE:
        return None
    return Selection(pts, is_left_out, tail_end, start_pts, step)
