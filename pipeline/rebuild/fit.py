"""How well each clip fits, and which clips a copy has at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.matching import Alignment, Match, Parts, Piece
from shards_spec.dataset.fingerprints.words import WORD_BITS, distances
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie

Status = Literal["identical", "aligned", "other_audio", "poor_fit", "missing"]

#: A part or frame whose word differs in more bits is a different one; a frame whose word differs in
#: at most this many is the same.
OTHER_BITS, SAME_BITS = 24, 12

#: If not even the whole audio of a copy was recognized, that of a clip must fit well: music and
#: effects may be those of the original, but the voices different ones.
MIN_FIT_BY_VIDEO = 0.7


@dataclass(frozen=True)
class Source:
    """Where a copy has a clip."""

    row: int
    """Of the clip in the lock's movie."""
    piece: Piece | None
    """None if the copy is the original."""
    is_at_edge: bool
    """Whether it is the first or last clip of its piece."""
    doubt: str = ""
    """Why the copy may lack it although it contains what comes before and after."""


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


def clips_of(lock: Lock, movie: LockedMovie, match: Match) -> Iterator[Source | Missing]:
    """For each clip of a movie, in order of time: where the copy has it, or why it does not."""
    order = np.argsort(movie.clips.start_step, kind="stable").tolist()
    if match.alignment is None:
        yield from (Source(row, None, False) for row in order)
        return
    found = _between(list(_matched(lock, movie, match, match.alignment, order)))
    pieces = [item.piece if isinstance(item, Source) else None for item in found]
    for number, item in enumerate(found):
        before = pieces[number - 1] if number else None
        after = pieces[number + 1] if number + 1 < len(pieces) else None
        if isinstance(item, Source):
            is_at_edge = before is not item.piece or after is not item.piece
            yield replace(item, is_at_edge=is_at_edge or bool(item.doubt))
        else:
            yield item


def _matched(
    lock: Lock, movie: LockedMovie, match: Match, alignment: Alignment, order: Sequence[int]
) -> Iterator[Source | Missing]:
    """Clips all of whose words are in one piece."""
    parts = (Parts.of_video if match.by == "video" else Parts.of_audio)(lock, [movie])
    pieces_of: dict[int, set[int]] = {}
    for row, piece in zip(parts.clip.tolist(), alignment.piece_of.tolist(), strict=True):
        pieces_of.setdefault(row, set()).add(piece)
    for row in order:
        numbers = pieces_of.get(row, set())
        if len(numbers) == 1 and min(numbers) >= 0:
            yield Source(row, alignment.pieces[numbers.pop()], False)
        elif not numbers:
            yield Missing(row, "too quiet or dark to be recognized, and not between other clips")
        elif numbers == {-1}:
            yield Missing(row, "the copy does not have it")
        else:
            yield Missing(row, "the copy has only a part of it, or with a cut inside")


def _between(found: list[Source | Missing]) -> list[Source | Missing]:
    """Clips between two others of a piece belong to it: they are quiet, or their audio differs."""
    before: list[Piece | None] = []
    for item in found:
        own = item.piece if isinstance(item, Source) else None
        before.append(own or (before[-1] if before else None))
    after: Piece | None = None
    for number in reversed(range(len(found))):
        item = found[number]
        if isinstance(item, Source):
            after = item.piece
        elif after is not None and before[number] is after:
            found[number] = Source(item.row, after, False, item.reason)
    return found


def fit_of(
    movie: LockedMovie,
    item: Source,
    audio_words: NDArray[np.uint64] | None,
    frame_words: NDArray[np.uint64],
    *,
    min_fit: float,
    by_video: bool,
) -> Fit:
    """How well a clip fits.

    Args:
        item: the clip, and where it is from.
        audio_words: of the clip as it was made; None if the copy has no audio.
        frame_words: the same.
        min_fit: audio of a lower fit is poor.
        by_video: whether the copy was recognized by its video alone.
    """
    clips, row = movie.clips, item.row
    frames = _bits(clips.frame_words[row], frame_words)
    min_fit = max(min_fit, MIN_FIT_BY_VIDEO) if by_video else min_fit
    audio_fit, wrong_audio = _audio_fit(clips.audio_words[row], audio_words, min_fit)
    if by_video and audio_fit is None and not wrong_audio:
        wrong_audio = "its audio is too quiet to be compared"
    frame_fit, num_other = _fit(frames), int((frames > OTHER_BITS).sum())
    is_other = num_other > 0 and (num_other == len(frames) or item.is_at_edge)
    wrong_frames = "the frames show something else" if is_other else ""
    if not wrong_audio and not wrong_frames:
        return Fit("aligned", "", audio_fit, frame_fit)
    if wrong_audio and not wrong_frames and (frames <= SAME_BITS).any():
        reason = f"the video fits, but {wrong_audio}"
        return Fit("other_audio", reason, audio_fit, frame_fit)
    if item.doubt and wrong_audio:
        return Fit("missing", item.doubt, None, None)
    return Fit("poor_fit", wrong_audio or wrong_frames, audio_fit, frame_fit)


def _audio_fit(
    expected: NDArray[np.uint64], words: NDArray[np.uint64] | None, min_fit: float
) -> tuple[float | None, str]:
    """The fit of the audio, and what is wrong with it."""
    if words is None:
        return None, "the copy has no audio"
    bits = _bits(expected, words)
    fit = _fit(bits)
    if len(bits) and not words.any():
        return fit, "the copy is silent here"
    if fit is not None and fit < min_fit:
        return fit, "the audio is another one"
    return fit, "a part of the audio is another one" if (bits > OTHER_BITS).any() else ""


def _bits(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Different bits of the pairs of which the lock has a word; half of all for lost words."""
    known = first != 0
    bits = np.where(second == 0, WORD_BITS // 2, distances(first, second))
    return np.asarray(bits[known], np.uint8)


def _fit(bits: NDArray[np.uint8]) -> float | None:
    return 1.0 - float(bits.mean()) / (WORD_BITS / 2) if len(bits) else None
