"""An expression for ffmpeg that is true for the packets of some frames, by their times.

Times of frames are at least a `step` apart, so each has a number of its own, the whole part of
`(pts - first) / step`. One bit per number says whether the frame is left out; the bits are in the
leaves of a binary tree, because an expression has no tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Bits of a leaf: ffmpeg calculates with doubles, which hold whole numbers of 53 bits.
WORD_BITS = 48
#: Leaves of an expression: its text must fit into one argument of a command, 128 KiB on Linux.
MAX_WORDS = 2500


def expression(pts: NDArray[np.int64], step: int) -> str:
    """The expression for frames with these presentation times.

    Args:
        pts: (N,) sorted, container time, ticks; at least one.
        step: distance that frames of the movie have at least, ticks.
    """
    first, last = int(pts[0]), int(pts[-1])
    words = _words((pts - first) // step)
    number = f"st(0,floor((pts-({first}))/{step}))"
    word = f"st(1,floor(ld(0)/{WORD_BITS}))"
    bit = f"bitand({_tree(words, 0, len(words))},pow(2,mod(ld(0),{WORD_BITS})))"
    return f"if(between(pts,{first},{last}),0*{number}+0*{word}+gt({bit},0),0)"


def max_ticks(step: int) -> int:
    """How much time one expression can cover, ticks."""
    return MAX_WORDS * WORD_BITS * step


def _words(numbers: NDArray[np.int64]) -> list[int]:
    words = [0] * (int(numbers[-1]) // WORD_BITS + 1)
    for number in numbers.tolist():
        words[number // WORD_BITS] |= 1 << number % WORD_BITS
    return words


def _tree(words: list[int], first: int, end: int) -> str:
    """The word with number `ld(1)`, which is in [first, end)."""
    if end - first == 1 or not any(words[first:end]):
        return str(words[first])
    middle = (first + end) // 2
    left, right = _tree(words, first, middle), _tree(words, middle, end)
    return f"if(lt(ld(1),{middle}),{left},{right})"
