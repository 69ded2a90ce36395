"""Which movies of a lock the audio or the video of a copy plays, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.alignment import KNOWN_SPEEDS, Alignment, align
from pipeline.matching.search import Candidate, Parts, WordSource, find_candidates
from shards_spec.dataset.fingerprints.words import distances
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie

#: Speeds that all movies are searched at; the alignment corrects small differences.
SEARCH_SPEEDS = KNOWN_SPEEDS[:3]

#: If nothing is found at those: from this much slower to this much faster, in such steps.
_OTHER_SPEEDS = tuple(1.0 + 0.005 * step for step in (*range(-20, 0), *range(1, 21)))

#: Movies that a copy is compared with in full, and speeds of each; the one that fits best counts.
_MAX_MOVIES, _MAX_SPEEDS = 5, 4

#: Preference for speeds that movies are sold at.
_USUAL_FACTOR = 1.25

#: Votes that are enough not to search the audio at unusual speeds.
_MANY_VOTES = 16

#: A copy plays at least this share of a movie's words, and so many of them.
MIN_SHARE, MIN_PARTS = 0.1, 4

#: These differ in at most so many bits on average: of audio, of video.
MAX_AUDIO_BITS, MAX_VIDEO_BITS = 16.0, 10.0

#: Of the frames that match, so many must differ from the one before by more than so many bits: a
#: still proves nothing.
_MIN_DIFFERENT, _DIFFERENT_BITS = 6, 16

PartsOf = Callable[[Lock, Sequence[LockedMovie]], Parts]


@dataclass(frozen=True, eq=False)
class Searched:
    """The movies of a lock that copies are searched for; what is sorted once serves all copies."""

    lock: Lock
    numbers: Sequence[int]
    """Of the movies in the lock."""

    @cached_property
    def movies(self) -> list[LockedMovie]:
        """The movies."""
        return [self.lock.movies[number] for number in self.numbers]

    @cached_property
    def audio(self) -> Parts:
        """Their audio."""
        return Parts.of_audio(self.lock, self.movies)

    @cached_property
    def video(self) -> Parts:
        """Their frames."""
        return Parts.of_video(self.lock, self.movies)


def heard_in(searched: Searched, source: WordSource) -> dict[int, tuple[Parts, Alignment]]:
    """The movies that the audio of a copy plays, by their position in `searched`."""
    best = _candidates(searched.audio, source, SEARCH_SPEEDS)
    # Chance gives a few votes; a copy at one of the usual speeds gets many.
    if max((item.votes for items in best.values() for item in items), default=0) < _MANY_VOTES:
        for number, items in _candidates(searched.audio, source, _OTHER_SPEEDS).items():
            best.setdefault(number, []).extend(items)
    aligned = _aligned(searched, source, best, Parts.of_audio)
    return {
        number: (own, alignment)
        for number, (own, alignment) in aligned.items()
        if _is_enough(alignment, len(own)) and alignment.mean_bits <= MAX_AUDIO_BITS
    }


def seen_in(searched: Searched, source: WordSource) -> dict[int, tuple[Parts, Alignment]]:
    """The movies that the video of a copy shows, by their position in `searched`."""
    for speeds in (SEARCH_SPEEDS, _OTHER_SPEEDS):
        # Frames of one shot are alike, so chance gives many votes: only the alignment decides.
        best = _candidates(searched.video, source, speeds)
        found = {
            number: (own, alignment)
            for number, (own, alignment) in _aligned(searched, source, best, Parts.of_video).items()
            if _is_enough(alignment, len(own))
            and alignment.mean_bits <= MAX_VIDEO_BITS
            and _num_different(own.words[alignment.piece_of >= 0]) >= _MIN_DIFFERENT
        }
        if found:
            return found
    return {}


def _candidates(
    parts: Parts, source: WordSource, speeds: Sequence[float]
) -> dict[int, list[Candidate]]:
    """The candidate with the most votes of each movie and speed, by movie."""
    best: dict[int, list[Candidate]] = {}
    for speed in speeds:
        first: dict[int, Candidate] = {}
        for item in find_candidates(parts, source, speed):
            first.setdefault(item.movie, item)
        for number, item in first.items():
            best.setdefault(number, []).append(item)
    return best


def _aligned(
    searched: Searched, source: WordSource, best: dict[int, list[Candidate]], parts_of: PartsOf
) -> dict[int, tuple[Parts, Alignment]]:
    """The movies with the most votes, aligned at the speed that fits best."""
    ranked = sorted(best, key=lambda number: -max(item.votes for item in best[number]))
    aligned = {}
    for number in ranked[:_MAX_MOVIES]:
        own = parts_of(searched.lock, [searched.movies[number]])
        items = sorted(best[number], key=lambda i: (i.speed not in SEARCH_SPEEDS, -i.votes))
        best_speeds = [item.speed for item in items[:_MAX_SPEEDS]]
        alignments = [_aligned_at(own, source, speed) for speed in best_speeds]
        chosen = max(alignments, key=_preference)
        # At a speed that is nearly right, a copy seems to be cut into many pieces.
        if (drift := chosen.drift_of_pieces) is not None:
            corrected = _aligned_at(own, source, chosen.pieces[0].speed / (1.0 + drift))
            chosen = max(chosen, corrected, key=lambda alignment: alignment.gain)
        aligned[number] = own, chosen
    return aligned


def _aligned_at(own: Parts, source: WordSource, speed: float) -> Alignment:
    return align(own, source, speed, find_candidates(own, source, speed))


def _preference(alignment: Alignment) -> float:
    """The gain, and more if the speed is a usual one: of a few words, chance may fit others."""
    is_usual = any(piece.speed in KNOWN_SPEEDS for piece in alignment.pieces)
    return alignment.gain * (_USUAL_FACTOR if is_usual else 1.0)


def _is_enough(alignment: Alignment, num_parts: int) -> bool:
    return alignment.num_matching >= max(MIN_PARTS, MIN_SHARE * num_parts)


def _num_different(words: NDArray[np.uint64]) -> int:
    return int((distances(words[1:], words[:-1]) > _DIFFERENT_BITS).sum()) + 1
