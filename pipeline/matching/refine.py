"""Offsets of a copy to milliseconds: measured locally, then a line through what was measured.

The more a part is shifted, the more bits of its word differ; the center of that valley is the right
offset, and the mean over some parts makes it sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.search import Parts, Settings, WordSource
from shards_spec.dataset.fingerprints.words import distances

#: Parts that one local offset is measured with.
GROUP_PARTS = 12

#: How much deeper than its edges a valley must be, bits.
_MIN_DEPTH = 3.0

#: A drift counts if it moves the offset by this share of `Settings.change_seconds` over a piece;
#: and local offsets that it is measured with.
_MIN_DRIFT, _MIN_DRIFT_GROUPS = 0.4, 5

#: Number of local offsets needed to estimate their precision.
_MIN_COMPARED = 3

#: Groups on each side of a change of the offset.
_CHANGE_GROUPS = 2


@dataclass(frozen=True)
class LocalOffset:
    """An offset measured with some neighboring parts."""

    first: int
    """Position of the first of these parts in their piece."""
    end: int
    seconds: float
    """Center of the parts in the original."""
    offset: float
    bits: tuple[float, ...]
    """(S,) mean number of differing bits at each shift of the settings."""


@dataclass(frozen=True)
class Line:
    """The offset of a piece."""

    offset: float
    precision: float
    """Median difference of local offsets from it, seconds."""
    drift: float
    """Growth of the offset, seconds per second; 0 if it is within the noise."""
    weight: float
    """Length of what the drift was measured over, seconds."""


def local_offsets(
    parts: Parts, rows: NDArray[np.int64], source: WordSource, offset: float, speed: float
) -> list[LocalOffset]:
    """The offsets of consecutive groups of parts `rows`, all of which are near to `offset`."""
    shifts = source.settings.shifts
    bits = np.empty((len(shifts), len(rows)), np.float32)
    for number, shift in enumerate(shifts):
        words = source.words((parts.seconds[rows] + offset + shift) / speed, speed)
        bits[number] = np.where(words == 0, 32, distances(parts.words[rows], words))
    count = max(1, round(len(rows) / GROUP_PARTS))
    found = []
    for group in np.array_split(np.arange(len(rows)), count):
        curve = bits[:, group].mean(axis=1)
        center = _center(curve, shifts)
        if center is not None:
            seconds = float(parts.seconds[rows[group]].mean())
            found.append(
                LocalOffset(
                    int(group[0]), int(group[-1]) + 1, seconds, offset + center, tuple(curve)
                )
            )
    return found


def _center(curve: NDArray[np.float32], shifts: NDArray[np.float64]) -> float | None:
    """The shift at the center of a valley; None if it is too flat."""
    smooth = np.convolve(np.pad(curve, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    lowest = int(smooth.argmin())
    edge = float(np.median(smooth))
    if edge - smooth[lowest] < _MIN_DEPTH:
        return None
    # The same number of shifts on both sides, so that the center is not drawn to either.
    reach = min(lowest, len(shifts) - 1 - lowest, 8)
    if reach < 1:
        return float(shifts[lowest])
    window = slice(lowest - reach, lowest + reach + 1)
    depth = np.clip(max(smooth[window][0], smooth[window][-1]) - smooth[window], 0, None)
    return float(np.average(shifts[window], weights=depth**2 + 1e-9))


def split_where_offsets_change(
    rows: NDArray[np.int64],
    seconds: NDArray[np.float64],
    local: Sequence[LocalOffset],
    default: float,
    settings: Settings,
) -> list[tuple[NDArray[np.int64], Line]]:
    """One or more pieces of the parts `rows`, each with its own offset.

    Args:
        seconds: start of each of these parts in the original.
        local: their local offsets.
        default: the offset if nothing was measured.
        settings: of the words.
    """
    line = _line(local, default, settings)
    split = _change(local, settings.change_seconds) if not line.drift else None
    if split is None:
        return [(rows, line)]
    at = local[split].first
    before = [item for item in local if item.end <= at]
    after = [
        LocalOffset(item.first - at, item.end - at, item.seconds, item.offset, item.bits)
        for item in local
        if item.first >= at
    ]
    return split_where_offsets_change(
        rows[:at], seconds[:at], before, default, settings
    ) + split_where_offsets_change(rows[at:], seconds[at:], after, default, settings)


def _line(local: Sequence[LocalOffset], default: float, settings: Settings) -> Line:
    if not local:
        return Line(default, 0.05, 0.0, 0.0)
    times = np.array([item.seconds for item in local])
    offsets = np.array([item.offset for item in local])
    offset = float(np.median(offsets))
    precision = float(np.median(np.abs(offsets - offset)))
    if len(local) < _MIN_COMPARED:
        # They differ little only because there are so few.
        precision = max(precision, settings.change_seconds / 2)
    if len(local) < _MIN_DRIFT_GROUPS:
        return Line(offset, precision, 0.0, 0.0)
    slope = _slope(times, offsets)
    rest = offsets - slope * (times - times.mean())
    noise = float(np.median(np.abs(rest - np.median(rest))))
    length = float(times[-1] - times[0])
    moved = abs(slope) * length
    is_drift = moved > max(_MIN_DRIFT * settings.change_seconds, 6 * noise)
    # The middle of all groups counts: there, a wrong slope does not matter.
    return Line(offset, noise if is_drift else precision, slope if is_drift else 0.0, length)


def _slope(times: NDArray[np.float64], offsets: NDArray[np.float64]) -> float:
    """Median of the slopes between the first and the second half (Theil and Sen)."""
    half = len(times) // 2
    first, second = slice(None, half), slice(len(times) - half, None)
    slopes = (offsets[second][:, None] - offsets[first]) / (times[second][:, None] - times[first])
    return float(np.median(slopes))


def _change(local: Sequence[LocalOffset], least: float) -> int | None:
    """The local offset with which another one begins to hold; None if all are the same."""
    offsets = np.array([item.offset for item in local])
    best, largest = None, least
    for split in range(_CHANGE_GROUPS, len(local) - _CHANGE_GROUPS + 1):
        before, after = offsets[:split], offsets[split:]
        change = abs(float(np.median(after) - np.median(before)))
        noise = max(float(np.median(np.abs(side - np.median(side)))) for side in (before, after))
        if change > max(largest, 5 * noise):
            best, largest = split, change
    return best
