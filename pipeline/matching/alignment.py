"""Maps the time of a movie to that of a copy, piece by piece: offset, speed, and how well it fits.

    original  |-------- a --------|------ b ------|-------- c --------|
    copy      |~~~|-------- a --------|-------- c --------|      (later; b was cut out)

At one speed, each candidate offset says which word of the copy each part of a clip should have. The
path through the candidates with the fewest different bits says which parts the copy plays with
which offset, and which it does not play. Then offsets are refined to milliseconds; where they
drift, the speed is wrong by as much, and all is done again with the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.refine import Line, local_offsets, split_where_offsets_change
from pipeline.matching.search import (
    BIN_SECONDS,
    Candidate,
    Parts,
    Settings,
    WordSource,
    find_candidates,
)
from shards_spec.dataset.fingerprints.words import distances

#: Speeds that movies are sold and broadcast at: film, PAL and NTSC, and each from each other.
KNOWN_SPEEDS = (1.0, 25 / 24, 24 / 25, 1.001, 1 / 1.001, 1.001 * 25 / 24, 24 / 25 / 1.001)

#: Bits that a change of the offset costs: a piece must be better than none by as much.
_CHANGE_BITS = 40.0

#: Steps by which a candidate's offset is first improved, seconds, and parts that are looked at.
_COARSE_STEPS = np.arange(-0.12, 0.121, 0.02)
_COARSE_PARTS = 200

#: Number of pieces needed to measure a drift, and the largest drift.
_MIN_PIECES, _MAX_DRIFT = 3, 0.05

#: How often the speed is corrected.
_MAX_ROUNDS = 3


@dataclass(frozen=True)
class Piece:
    """A range of the original that the copy plays with one offset and speed.

    Second t of the original is second (t + `offset`) / `speed` of the copy.
    """

    start: float
    """Of the first part, seconds of the original."""
    end: float
    """Of the last part, exclusive."""
    offset: float
    speed: float
    precision: float
    """Typical difference of locally measured offsets from `offset`, seconds."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a copy plays a movie."""

    pieces: tuple[Piece, ...]
    """In the order of the original."""
    piece_of: NDArray[np.int64]
    """(N,) of each part: number of the piece; -1 if the copy does not play it."""
    bits: NDArray[np.uint8]
    """(N,) different bits of each part's word; 64 where there is none."""
    missing_bits: float
    """The cost of a part that the copy does not play."""

    @property
    def num_matching(self) -> int:
        """Parts that the copy plays."""
        return int((self.piece_of >= 0).sum())

    @property
    def gain(self) -> float:
        """How much better the copy is than none, bits."""
        saved = (self.missing_bits - self.bits[self.piece_of >= 0].astype(np.float64)).sum()
        return float(saved) - _CHANGE_BITS * len(self.pieces)

    @property
    def drift_of_pieces(self) -> float | None:
        """Growth of the offset between pieces, seconds per second; None for too few pieces."""
        if len(self.pieces) < _MIN_PIECES:
            return None
        centers = np.array([(piece.start + piece.end) / 2 for piece in self.pieces])
        offsets = np.array([piece.offset for piece in self.pieces])
        first, second = np.triu_indices(len(centers), 1)
        apart = centers[second] - centers[first]
        is_apart = apart > 1.0
        if not is_apart.any():
            return None
        slopes = (offsets[second] - offsets[first])[is_apart] / apart[is_apart]
        return float(np.clip(np.median(slopes), -_MAX_DRIFT, _MAX_DRIFT))

    @property
    def mean_bits(self) -> float:
        """Of these parts."""
        return float(self.bits[self.piece_of >= 0].mean()) if self.num_matching else 64.0


NOT_ALIGNED = Alignment((), np.zeros(0, np.int64), np.zeros(0, np.uint8), 0.0)


def align(
    parts: Parts, source: WordSource, speed: float, candidates: Sequence[Candidate]
) -> Alignment:
    """Align one movie.

    Args:
        parts: of the movie.
        source: the audio or video of the copy.
        speed: the one at which the candidates were found.
        candidates: of this movie.
    """
    aligned = NOT_ALIGNED
    for _ in range(_MAX_ROUNDS):
        path = _path(parts, source, speed, candidates)
        aligned, drift = _refined(parts, source, speed, path)
        corrected = snapped(speed / (1.0 + drift), source.settings) if drift else speed
        if corrected == speed or not aligned.pieces:
            break
        speed = corrected
        candidates = find_candidates(parts, source, speed)
    return aligned


def snapped(speed: float, settings: Settings) -> float:
    """The known speed next to a measured one, or that itself."""
    nearest = min(KNOWN_SPEEDS, key=lambda known: abs(known / speed - 1.0))
    return nearest if abs(nearest / speed - 1.0) <= settings.snap_speed else speed


def different_bits(
    parts: Parts, rows: NDArray[np.int64], source: WordSource, offset: float, speed: float
) -> NDArray[np.uint8]:
    """(len(rows),) bits that differ from the copy's words; 64 where it has none."""
    words = source.words((parts.seconds[rows] + offset) / speed, speed)
    return np.where(words == 0, 64, distances(parts.words[rows], words)).astype(np.uint8)


def _path(
    parts: Parts, source: WordSource, speed: float, candidates: Sequence[Candidate]
) -> list[tuple[NDArray[np.int64], float]]:
    """Rows of parts, and the offset with which the copy plays them."""
    offsets = _improved(parts, source, speed, [item.offset for item in candidates])
    if not offsets:
        return []
    rows = np.arange(len(parts))
    bits = np.stack([different_bits(parts, rows, source, o, speed) for o in offsets])
    costs = np.concatenate(
        [bits.astype(np.float32), np.full((1, len(rows)), source.settings.missing_bits)]
    )
    states = _cheapest(costs)
    return [
        (np.flatnonzero(states == number), offsets[number])
        for number in np.unique(states[states < len(offsets)])
    ]


def _improved(
    parts: Parts, source: WordSource, speed: float, offsets: Sequence[float]
) -> list[float]:
    """Offsets with the fewest different bits nearby; equal ones once."""
    improved: list[float] = []
    rows = np.unique(np.linspace(0, len(parts) - 1, 8 * _COARSE_PARTS).astype(np.int64))
    for offset in offsets:
        # Only a part of the movie may have this offset: those that fit best count.
        bits = np.sort(
            [different_bits(parts, rows, source, offset + s, speed) for s in _COARSE_STEPS], axis=1
        )[:, : max(4, len(rows) // 8)]
        best = offset + float(_COARSE_STEPS[bits.mean(axis=1).argmin()])
        if all(abs(best - other) > BIN_SECONDS / 4 for other in improved):
            improved.append(best)
    return improved


def _cheapest(costs: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N,) states of the cheapest path; `costs` (states, N), the last state is "missing".

    Going to "missing" and back costs half a change each.
    """
    num_states, length = costs.shape
    changes = np.full(num_states, _CHANGE_BITS / 2, np.float32)
    changes[-1] = 0.0
    total = costs[:, 0] + changes
    came_from = np.zeros((num_states, length), np.int32)
    own = np.arange(num_states)
    for column in range(1, length):
        leaving = total + changes
        best = int(leaving.argmin())
        arriving = leaving[best] + changes
        changes_state = arriving < total
        came_from[:, column] = np.where(changes_state, best, own)
        total = np.where(changes_state, arriving, total) + costs[:, column]
    states = np.empty(length, np.int64)
    states[-1] = int((total + changes).argmin())
    for column in range(length - 1, 0, -1):
        states[column - 1] = came_from[states[column], column]
    return states


def _refined(
    parts: Parts, source: WordSource, speed: float, path: Sequence[tuple[NDArray[np.int64], float]]
) -> tuple[Alignment, float]:
    """Pieces with precise offsets, and the fraction by which the speed is too high."""
    lines: list[tuple[NDArray[np.int64], Line]] = []
    for rows, offset in path:
        local = local_offsets(parts, rows, source, offset, speed)
        lines += split_where_offsets_change(
            rows, parts.seconds[rows], local, offset, source.settings
        )
    lines.sort(key=lambda item: parts.seconds[item[0][0]])
    piece_of = np.full(len(parts), -1, np.int64)
    bits = np.full(len(parts), 64, np.uint8)
    pieces = []
    for number, (rows, line) in enumerate(lines):
        piece_of[rows] = number
        bits[rows] = different_bits(parts, rows, source, line.offset, speed)
        start, end = float(parts.seconds[rows[0]]), float(parts.seconds[rows[-1]])
        end += source.settings.part_seconds
        pieces.append(Piece(start, end, line.offset, speed, line.precision))
    longest = max((line for _, line in lines), key=lambda line: line.weight, default=None)
    drift = longest.drift if longest else 0.0
    return Alignment(tuple(pieces), piece_of, bits, source.settings.missing_bits), drift
