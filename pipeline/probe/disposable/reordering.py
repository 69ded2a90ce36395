"""Whether the order of MPEG pictures is as it must be if their types are right.

A B picture lies between the two others before it in the file, and these follow each other in time:

    in the file    I0 P3 B1 B2 P6 B4 B5
    in time        I0 B1 B2 P3 B4 B5 P6

MPEG numbers no references. Where a picture is missing, or damage has made a B picture of another
one, decoders may notice nothing; the times of the packets show it.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

#: Frames farther apart than this many usual distances have a missing one between them.
MISSING = Fraction(7, 4)


def is_usual_order(pts: NDArray[np.int64], is_b: NDArray[np.bool_]) -> bool:
    """Whether frames are in the order of their types, and none is missing.

    Args:
        pts: (N,) times in file order, all different.
        is_b: (N,) which are B pictures.
    """
    others = np.flatnonzero(~is_b)
    distances = np.diff(np.sort(pts))
    if not len(others) or not len(distances) or is_b[0]:
        return False
    is_steady = int(distances.max()) < MISSING * int(distances.min())
    if not is_steady or np.any(np.diff(pts[others]) < 0):
        return False
    index = np.flatnonzero(is_b)
    last = np.searchsorted(others, index) - 1
    is_before_last = pts[index] < pts[others[last]]
    is_after_other = (last == 0) | (pts[index] > pts[others[np.maximum(last - 1, 0)]])
    return bool(is_before_last.all() and is_after_other.all())
