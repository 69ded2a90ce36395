r"""Aligns decoded audio with the movie timeline: a pure function from frame times to pieces.

Each decoded frame has a pts and a number of samples. These two clocks may diverge for several
reasons, each handled in its own way:

    pts - samples so far
        |                     ______  step up: audio is missing        -> gap, filled with silence
        |              ______/
        |  _/\_/\_/\__/               noise: rounding by the container -> ignored
        |             \______         step down: audio is repeated     -> the overlap is cut
        |  ___________----------      slope: one clock runs faster     -> resampling
        +-------------------------- samples so far

Steps divide the audio into runs. Within a run the offset between the clocks is a robust line
through the frames of several seconds, evaluated every `ANCHOR_SECONDS`. While it stays within
`STEADY_SECONDS` of the offset in use, samples are copied unchanged. A movie with a correct clock is
therefore copied bit for bit, and in any movie the error stays below a millisecond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: How often the offset is evaluated, and how far on either side frames are considered.
ANCHOR_SECONDS = 10.0
#: An offset this close to the one in use is treated as equal to it.
STEADY_SECONDS = 0.0005
#: Smallest jump of the offset that can be a step.
STEP_SECONDS = 0.002
#: A step must also exceed the median jump from frame to frame by this factor.
STEP_NOISE = 6.0
#: Frames on each side whose median distinguishes a step from a few wrong timestamps.
STEP_FRAMES = 9
#: Clocks that diverge faster than this are not trusted: samples are counted instead.
MAX_DRIFT = 0.05

#: A new slope is accepted if it differs by this many times its standard error.
SLOPE_NOISE = 4.0

_NOISE_FRAMES = 256
_LINE_FRAMES = 24
_LINE_SECONDS = 4.0


@dataclass(frozen=True)
class AudioFrame:
    """A decoded audio frame."""

    pts: int | None
    """Position on the movie timeline, in samples at the native rate; None if unknown."""
    count: int
    """Number of samples."""


@dataclass(frozen=True)
class Piece:
    """Decoded samples [first, first + count) are played at [start, start + length)."""

    first: int
    """Index among all decoded samples."""
    count: int
    start: int
    """Position on the movie timeline, in samples at the native rate; may be negative."""
    length: int
    """Equal to `count` unless the clocks diverge here."""


def align(frames: Iterable[AudioFrame], rate_hz: int) -> Iterator[Piece]:
    """Pieces in the order of the decoded samples, all of which they cover.

    Pieces may overlap or leave gaps on the timeline. Looks ahead by about twice `ANCHOR_SECONDS`,
    however long the movie is.
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
    """Its pts minus `first`."""


def _points(frames: Iterable[AudioFrame], rate_hz: int) -> Iterator[tuple[_Point, bool]]:
    """Every frame, and whether a new run begins with it."""
    ahead: deque[_Point] = deque()
    before: deque[_Point] = deque(maxlen=_NOISE_FRAMES)
    since_step = 0

    def take() -> tuple[_Point, bool]:
        nonlocal since_step
        begins = since_step == 0 or _is_step(list(before), list(ahead), since_step, rate_hz)
        point = ahead.popleft()
        before.append(point)
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


def _is_step(before: list[_Point], ahead: list[_Point], since_step: int, rate_hz: int) -> bool:
    """Whether the offset jumps at `ahead[0]` and keeps its new value."""
    jump = abs(ahead[0].offset - before[-1].offset)
    if jump <= STEP_SECONDS * rate_hz:
        return False
    offsets = np.array([point.offset for point in (*before, *ahead)])
    median_jump = float(np.median(np.abs(np.diff(offsets))))
    threshold = max(STEP_SECONDS * rate_hz, STEP_NOISE * median_jump)
    if jump <= threshold:
        return False
    old = [point.offset for point in before[-min(since_step, STEP_FRAMES) :]]
    new = [point.offset for point in ahead[:STEP_FRAMES]]
    return abs(float(np.median(new) - np.median(old))) > threshold


class _Run:
    """Frames without a step between them, turned into pieces as they arrive."""

    def __init__(self, rate_hz: int, first: int, slope: float) -> None:
        self.slope = slope
        """Of the offset, samples per sample; runs too short to measure take the previous one."""
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
        """The pieces that can be aligned so far; all of them if the run is over."""
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
        offset = self._offset_at(anchor)
        change = abs(offset - self._offset)
        is_steady = change <= STEADY_SECONDS * self._rate_hz
        if is_steady or change > MAX_DRIFT * (anchor - self._head):
            return self._offset
        return round(offset)

    def _offset_at(self, anchor: int) -> float:
        """Value at `anchor` of the line through the frames around it."""
        firsts, offsets = np.array(self._firsts), np.array(self._offsets)
        near = np.abs(firsts - anchor) <= ANCHOR_SECONDS * self._rate_hz
        if near.any():
            firsts, offsets = firsts[near], offsets[near]
        inliers = _inliers(firsts, offsets, self._rate_hz)
        firsts, offsets = firsts[inliers], offsets[inliers]
        self.slope = _slope(firsts, offsets, self._rate_hz, self.slope)
        return float(np.mean(offsets - self.slope * (firsts - anchor)))


def _inliers(
    firsts: NDArray[np.int64], offsets: NDArray[np.int64], rate_hz: int
) -> NDArray[np.bool_]:
    """Which frames are close to Tukey's resistant line, through the medians of the outer thirds."""
    third = max(1, len(firsts) // 3)
    run = float(np.median(firsts[-third:]) - np.median(firsts[:third]))
    rise = float(np.median(offsets[-third:]) - np.median(offsets[:third]))
    residuals = offsets - rise / max(run, 1.0) * (firsts - firsts[0])
    distances = np.abs(residuals - np.median(residuals))
    limit = max(STEP_SECONDS * rate_hz, STEP_NOISE * np.median(distances))
    near: NDArray[np.bool_] = distances <= limit
    return near


def _slope(
    firsts: NDArray[np.int64], offsets: NDArray[np.int64], rate_hz: int, default: float
) -> float:
    """Slope of the least-squares line.

    The slope in use, `default`, is kept unless the new one would move the offset by more than
    `STEADY_SECONDS` plus what noise can explain.
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
    margin = STEADY_SECONDS * rate_hz + SLOPE_NOISE * noise * span
    return slope if abs(slope - default) * span > margin else default
