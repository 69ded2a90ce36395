"""Decoded samples that wait to be aligned; invalid ones become silence.

Float tracks may hold NaN, infinities, or values far beyond full scale. One of them would spoil
everything that the resampler or a spectrum computes around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.time_stretch import MARGIN, resample_piece
from pipeline.audio.timeline import Piece

#: Largest magnitude of a valid sample, where full scale is 1: 36 dB above it.
MAX_LEVEL = 64.0


def valid_samples(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) which samples are valid."""
    # A comparison with NaN is false.
    valid: NDArray[np.bool_] = np.abs(samples) <= MAX_LEVEL
    return valid


class SampleBuffer:
    """Decoded samples by index, from the last one read on."""

    def __init__(self) -> None:
        self.end = 0
        """One past the last sample received."""
        self._first = 0
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._invalid: deque[tuple[int, int]] = deque()
        """Ranges [first, end) of invalid samples, by index."""

    def append(self, samples: NDArray[np.float32], *, are_valid: bool = False) -> None:
        """Take in (N,) float32 samples of any value; `are_valid` if that is known of all."""
        is_valid = None if are_valid else valid_samples(samples)
        if is_valid is not None and not is_valid.all():
            samples = np.where(is_valid, samples, np.float32(0.0))
            edges = np.flatnonzero(np.diff(np.concatenate([[True], is_valid, [True]])))
            for first, end in (edges + self.end).reshape(-1, 2).tolist():
                self._add_invalid(first, end)
        self._blocks.append(samples)
        self.end += len(samples)

    def read(self, piece: Piece) -> NDArray[np.float32]:
        """The samples of a piece at their length on the timeline; earlier ones are discarded."""
        while self._blocks and self._first + len(self._blocks[0]) <= piece.first - MARGIN:
            self._first += len(self._blocks.popleft())
        buffer = np.concatenate([np.zeros(MARGIN, np.float32), *self._blocks])
        begin = piece.first - self._first
        if piece.length == piece.count:
            return buffer[MARGIN + begin :][: piece.count]
        source = buffer[begin : begin + piece.count + 2 * MARGIN]
        missing = piece.count + 2 * MARGIN - len(source)
        return resample_piece(np.pad(source, (0, missing)), piece.length)

    def invalid_in(self, piece: Piece) -> Iterator[tuple[int, int]]:
        """Ranges [start, end) of the timeline where samples of a piece were invalid."""
        end = piece.first + piece.count
        while self._invalid and self._invalid[0][0] < end:
            first, last = self._invalid.popleft()
            if last > end:
                self._invalid.appendleft((end, last))
            inside = (max(first, piece.first), min(last, end))
            if inside[0] < inside[1]:
                begin, stop = ((at - piece.first) * piece.length // piece.count for at in inside)
                yield piece.start + begin, piece.start + stop

    def _add_invalid(self, first: int, end: int) -> None:
        if self._invalid and self._invalid[-1][1] == first:
            first = self._invalid.pop()[0]
        self._invalid.append((first, end))
