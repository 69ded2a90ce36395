r"""Places decoded sound on the movie timeline: a pure function from frame times to pieces.

Each decoded frame says when it is to be heard (its pts) and how many samples it holds. The two
clocks part for several reasons, and each gets its own answer:

    pts - samples so far
        |                     ______  a step up: sound is missing     -> a gap, filled with silence
        |              ______/
        |  _/\_/\_/\__/               noise: rounding of the container -> nothing moves
        |             \______         a step down: sound comes twice   -> the overlap is cut
        |  ___________----------      a slope: the clocks run apart    -> slow resampling
        +-------------------------- samples so far

Steps part the sound into runs. In a run the offset between the clocks is a robust line through the
frames of some seconds, looked at every `ANCHOR_SECONDS`; as long as it stays within
`STEADY_SECONDS` of the offset in use, samples are taken as they are. So a film with an honest clock
is placed bit by bit, and in every film the error stays below a millisecond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The offset is looked at every so many seconds, in the frames of as many seconds on both sides.
ANCHOR_SECONDS = 10.0
#: An offset within this of the one in use changes nothing.
STEADY_SECONDS = 0.0005
#: A smaller jump of the offset is never a step.
STEP_SECONDS = 0.002
#: Nor is one that is smaller than this many times the usual jump from frame to frame.
STEP_NOISE = 6.0
#: Frames on each side whose median tells a step from a few wrong timestamps.
STEP_FRAMES = 9
#: Clocks that part faster than this are no clocks: the samples are trusted.
MAX_DRIFT = 0.05

#: Another slope counts when it differs by this many times its standard error.
SLOPE_NOISE = 4.0

_NOISE_FRAMES = 256
_LINE_FRAMES = 24
_LINE_SECONDS = 4.0


@dataclass(frozen=True)
class Frame:
    """A decoded audio frame."""

    pts: int | None
    """When it is heard: samples of the native rate on the movie timeline; None when unknown."""
    count: int
    """Samples in it."""


@dataclass(frozen=True)
class Piece:
    """Decoded samples [first, first + count) are heard at [start, start + length)."""

    first: int
    """Counted over all decoded samples."""
    count: int
    start: int
    """Samples of the native rate on the movie timeline; may be negative."""
    length: int
    """Equal to `count` unless clocks part here."""


def place(frames: Iterable[Frame], rate_hz: int) -> Iterator[Piece]:
    """Pieces in order of the decoded samples, which they cover without holes.

    They may leave gaps on the timeline and overlap there. Looks ahead by about twice
    `ANCHOR_SECONDS`, whatever the length of the film.
    """
    run: _Run | None = None
    for point, begins in _points(frames, rate_hz):
        if begins:
            slope = run.slope if run else 0.0
            if run:
                yield from run.pieces(is_over=True)
            run = _Run(rate_hz, point.first, slope)
        assert run is not None
        run.add(point)
        yield from run.pieces(is_over=False)
    if run:
        yield from run.pieces(is_over=True)


@dataclass(frozen=True)
class _Point:
    first: int
    """Samples decoded before the frame."""
    count: int
    offset: int
    """Its pts less `first`."""


def _points(frames: Iterable[Frame], rate_hz: int) -> Iterator[tuple[_Point, bool]]:
    """Every frame, and whether a new run begins with it."""
    ahead: deque[_Point] = deque()
    behind: deque[_Point] = deque(maxlen=_NOISE_FRAMES)
    since_step = 0

    def take() -> tuple[_Point, bool]:
        nonlocal since_step
        begins = since_step == 0 or _is_step(list(behind), list(ahead), since_step, rate_hz)
        point = ahead.popleft()
        behind.append(point)
        since_step = 1 if begins else since_step + 1
        return point, begins

    first = offset = 0
    for frame in frames:
        if frame.count <= 0:
            continue
        offset = offset if frame.pts is None else frame.pts - first
        ahead.append(_Point(first, frame.count, offset))
        first += frame.count
        if len(ahead) > 4 * STEP_FRAMES:
            yield take()
    while ahead:
        yield take()


def _is_step(behind: list[_Point], ahead: list[_Point], since_step: int, rate_hz: int) -> bool:
    """Whether the offset jumps at `ahead[0]` and stays where it jumped to."""
    jump = abs(ahead[0].offset - behind[-1].offset)
    if jump <= STEP_SECONDS * rate_hz:
        return False
    offsets = np.array([point.offset for point in (*behind, *ahead)])
    usual = float(np.median(np.abs(np.diff(offsets))))
    threshold = max(STEP_SECONDS * rate_hz, STEP_NOISE * usual)
    if jump <= threshold:
        return False
    before = [point.offset for point in behind[-min(since_step, STEP_FRAMES) :]]
    after = [point.offset for point in ahead[:STEP_FRAMES]]
    return abs(float(np.median(after) - np.median(before))) > threshold


class _Run:
    """Frames without a step between them, turned into pieces as they come."""

    def __init__(self, rate_hz: int, first: int, slope: float) -> None:
        self.slope = slope
        """Of the offset, samples per sample; for runs too short to tell, that of the one before."""
        self._rate_hz = rate_hz
        self._head = self._end = first
        self._offset: int | None = None
        self._firsts: deque[int] = deque()
        self._offsets: deque[int] = deque()

    def add(self, point: _Point) -> None:
        self._firsts.append(point.first)
        self._offsets.append(point.offset)
        self._end = point.first + point.count

    def pieces(self, *, is_over: bool) -> Iterator[Piece]:
        """What can be placed now: all of it when the run is over."""
        stride = round(ANCHOR_SECONDS * self._rate_hz)
        while self._end - self._head > 2 * stride or (is_over and self._head < self._end):
            if self._offset is None:
                self._offset = round(self._offset_at(self._head))
            anchor = self._head + stride
            if is_over and self._end - anchor < stride // 2:
                anchor = self._end
            offset = self._next_offset(anchor)
            start, count = self._head + self._offset, anchor - self._head
            yield Piece(self._head, count, start, count + offset - self._offset)
            self._head, self._offset = anchor, offset
            while self._firsts[0] < anchor - stride and len(self._firsts) > 1:
                self._firsts.popleft()
                self._offsets.popleft()

    def _next_offset(self, anchor: int) -> int:
        assert self._offset is not None
        found = self._offset_at(anchor)
        change = abs(found - self._offset)
        steady = change <= STEADY_SECONDS * self._rate_hz
        if steady or change > MAX_DRIFT * (anchor - self._head):
            return self._offset
        return round(found)

    def _offset_at(self, anchor: int) -> float:
        """The line through the frames around `anchor`, there."""
        firsts, offsets = np.array(self._firsts), np.array(self._offsets)
        near = np.abs(firsts - anchor) <= ANCHOR_SECONDS * self._rate_hz
        if near.any():
            firsts, offsets = firsts[near], offsets[near]
        kept = _believable(firsts, offsets, self._rate_hz)
        firsts, offsets = firsts[kept], offsets[kept]
        self.slope = _slope(firsts, offsets, self._rate_hz, self.slope)
        return float(np.mean(offsets - self.slope * (firsts - anchor)))


def _believable(
    firsts: NDArray[np.int64], offsets: NDArray[np.int64], rate_hz: int
) -> NDArray[np.bool_]:
    """Which frames lie near Tukey's resistant line, through the medians of the outer thirds."""
    third = max(1, len(firsts) // 3)
    run = float(np.median(firsts[-third:]) - np.median(firsts[:third]))
    rise = float(np.median(offsets[-third:]) - np.median(offsets[:third]))
    rest = offsets - rise / max(run, 1.0) * (firsts - firsts[0])
    away = np.abs(rest - np.median(rest))
    near: NDArray[np.bool_] = away <= max(STEP_SECONDS * rate_hz, STEP_NOISE * np.median(away))
    return near


def _slope(
    firsts: NDArray[np.int64], offsets: NDArray[np.int64], rate_hz: int, default: float
) -> float:
    """Of the least-squares line.

    `default`, the slope in use, stays where the other one would move the offset by no more than
    `STEADY_SECONDS` and what noise may do.
    """
    span = int(firsts[-1] - firsts[0])
    if len(firsts) < _LINE_FRAMES or span < _LINE_SECONDS * rate_hz:
        return default
    along = firsts - np.mean(firsts)
    spread = float(np.sum(along**2))
    slope = float(np.sum(along * offsets)) / spread
    noise = float(np.std(offsets - slope * along)) / np.sqrt(spread)
    if abs(slope) > MAX_DRIFT:
        return 0.0
    doubt = STEADY_SECONDS * rate_hz + SLOPE_NOISE * noise * span
    return slope if abs(slope - default) * span > doubt else default
