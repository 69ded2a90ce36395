"""Finds equal pieces of words quickly: a lock's words are sorted once instead of per copy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Equal pieces of this many words or more (a constant tone, a still) prove nothing.
_MAX_EQUAL = 64

#: Ways to divide words into pieces: number of pieces, and bits per piece.
DIVISIONS = ((4, 16), (3, 21), (2, 32))


@dataclass(frozen=True, eq=False)
class Lookup:
    """Words by their pieces; each division is sorted when it is first needed."""

    words: NDArray[np.uint64]
    """(N,)."""
    _sorted: dict[tuple[int, int], tuple[NDArray[np.uint32], NDArray[np.int32]]] = field(
        default_factory=dict
    )

    def pairs(
        self, words: NDArray[np.uint64], number: int, bits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of these words and of `words` whose piece `number`, of `bits` bits, is equal."""
        pieces, order = self._division(number, bits)
        others = _piece(words, number, bits)
        low, high = (np.searchsorted(pieces, others, side=side) for side in ("left", "right"))
        counts = np.where(high - low < _MAX_EQUAL, high - low, 0)
        rows = np.repeat(np.arange(len(others)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return order[np.repeat(low, counts) + within].astype(np.int64), rows

    def _division(self, number: int, bits: int) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        if (number, bits) not in self._sorted:
            pieces = _piece(self.words, number, bits)
            order = np.argsort(pieces, kind="stable").astype(np.int32)
            self._sorted[number, bits] = pieces[order], order
        return self._sorted[number, bits]


def _piece(words: NDArray[np.uint64], number: int, bits: int) -> NDArray[np.uint32]:
    mask = np.uint64((1 << bits) - 1)
    return ((words >> np.uint64(number * bits)) & mask).astype(np.uint32)
