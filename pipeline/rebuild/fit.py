"""How well each clip fits, and which clips a copy has at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.matching import Alignment, Parts, Piece
from shards_spec.dataset.fingerprints.words import WORD_BITS, distances
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie

Status = Literal["identical", "aligned", "poor_fit", "missing"]

#: A part or a frame whose word differs in more bits is another one.
OTHER_BITS = 24


@dataclass(frozen=True)
class Source:
    """Where a copy has a clip."""

    row: int
    """Of the clip in the lock's movie."""
    piece: Piece | None
    """None if the copy is the original."""
    is_at_edge: bool
    """Whether it is the first or last clip of its piece."""


@dataclass(frozen=True)
class Missing:
    """A clip that a copy does not have."""

    row: int
    reason: str


@dataclass(frozen=True)
class Fit:
    """How well a clip that was made fits the lock."""

    status: Status
    reason: str
    audio_fit: float | None
    """1 if all bits of its words are equal, about 0 for other audio; None if it has no words."""
    frame_fit: float | None
    """The same of its first and last frame."""


def clips_of(
    lock: Lock, movie: LockedMovie, alignment: Alignment | None
) -> Iterator[Source | Missing]:
    """Each clip of a movie, in the order of time: where the copy has it, or why it does not.

    Without an alignment, the copy is the original.
    """
    order = np.argsort(movie.clips.start_step, kind="stable").tolist()
    if alignment is None:
        yield from (Source(row, None, False) for row in order)
        return
    parts = Parts.of(lock, [movie])
    rows_of: dict[int, list[int]] = {}
    for position, row in enumerate(parts.clip.tolist()):
        rows_of.setdefault(row, []).append(position)
    found: list[Source | Missing] = []
    for row in order:
        start, end = (time / 1e9 for time in lock.clip_ns(int(movie.clips.start_step[row])))
        numbers = {int(alignment.piece_of[position]) for position in rows_of.get(row, [])}
        if len(numbers) == 1 and min(numbers) >= 0:
            found.append(Source(row, alignment.pieces[numbers.pop()], False))
        elif not numbers:
            found.append(_silent(row, start, end, alignment))
        elif numbers == {-1}:
            found.append(Missing(row, "the copy does not have it"))
        else:
            found.append(Missing(row, "the copy has only a part of it, or with a cut inside"))
    pieces = [item.piece if isinstance(item, Source) else None for item in found]
    for number, item in enumerate(found):
        before = pieces[number - 1] if number else None
        after = pieces[number + 1] if number + 1 < len(pieces) else None
        if isinstance(item, Source):
            is_at_edge = before is not item.piece or after is not item.piece
            yield Source(item.row, item.piece, is_at_edge)
        else:
            yield item


def _silent(row: int, start: float, end: float, alignment: Alignment) -> Source | Missing:
    """A clip without words: it belongs to the piece that plays what is before and after it."""
    for piece in alignment.pieces:
        if piece.start <= start and end <= piece.end:
            return Source(row, piece, False)
    return Missing(row, "too quiet to be recognized, and not between clips that were")


def fit_of(
    movie: LockedMovie,
    row: int,
    audio_words: NDArray[np.uint64],
    frame_words: NDArray[np.uint64],
    *,
    is_at_edge: bool,
    min_fit: float,
) -> Fit:
    """How well a clip fits.

    Args:
        row: of the clip in the lock's movie.
        audio_words, frame_words: of the clip as it was made.
        is_at_edge: whether the copy may have something else right before or after it.
        min_fit: audio of a lower fit is poor.
    """
    audio = _bits(movie.clips.audio_words[row], audio_words)
    frames = _bits(movie.clips.frame_words[row], frame_words)
    audio_fit, frame_fit = _fit(audio), _fit(frames)
    num_other = int((frames > OTHER_BITS).sum())
    reason = ""
    if audio_fit is not None and audio_fit < min_fit:
        reason = f"the audio differs (fit {audio_fit:.2f})"
    elif (audio > OTHER_BITS).any():
        reason = "a part of the audio is another one"
    elif num_other and (num_other == len(frames) or is_at_edge):
        reason = "the frames show something else"
    return Fit("poor_fit" if reason else "aligned", reason, audio_fit, frame_fit)


def _bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Different bits of the pairs of which the lock has a word; half of all for lost words."""
    known = first != 0
    bits = np.where(second == 0, WORD_BITS // 2, distances(first, second))
    return np.asarray(bits[known], np.uint8)


def _fit(bits: NDArray[np.uint8]) -> float | None:
    return 1.0 - float(bits.mean()) / (WORD_BITS / 2) if len(bits) else None
