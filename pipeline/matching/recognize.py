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

#: Speeds at which all movies are searched; the alignment corrects small differences.
SEARCH_SPEEDS = KNOWN_SPEEDS[:3]

#: Slowest, fastest and step of the speeds to search if nothing is found at the usual ones.
_OTHER_SPEEDS = tuple(1.0 + 0.005 * step for step in (*range(-20, 0), *range(1, 21)))

#: Number of movies to compare a copy with in full, and of speeds of each; the best fit counts.
_MAX_MOVIES, _MAX_SPEEDS = 5, 4

#: Preference for speeds at which movies are sold.
_USUAL_FACTOR = 1.25

#: With this many votes, the audio is not searched at unusual speeds.
_MANY_VOTES = 16

#: A copy plays at least this share of a movie's words, and at least this many.
MIN_SHARE, MIN_PARTS = 0.1, 4

#: Largest mean difference of these words, bits: of audio, of video.
MAX_AUDIO_BITS, MAX_VIDEO_BITS = 16.0, 10.0

#: At least this many of the matching frames must differ from the one before, by more than this
#: many bits: a still proves nothing.
_MIN_DIFFERENT, _DIFFERENT_BITS = 6, 16

PartsOf = Callable[[Lock, Sequence[LockedMovie]], Parts]


@dataclass(frozen=True, eq=False)
class Searched:
    """The movies of a lock to search copies for, sorted once for all copies."""

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
    # Chance produces a few votes; a copy at one of the usual speeds gets many.
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
        # Frames of a shot are alike, so chance produces many votes: only the alignment decides.
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
    """For each movie, the candidate with the most votes at each speed."""
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
        # At a speed that is slightly wrong, a copy seems to be cut into many pieces.
        if (drift := chosen.drift_of_pieces) is not None:
            corrected = _aligned_at(own, source, chosen.pieces[0].speed / (1.0 + drift))
            chosen = max(chosen, corrected, key=lambda alignment: alignment.gain)
        aligned[number] = own, chosen
    return aligned


def _aligned_at(own: Parts, source: WordSource, speed: float) -> Alignment:
    return align(own, source, speed, find_candidates(own, source, speed))


def _preference(alignment: Alignment) -> float:
    """The gain, increased for usual speeds: with few words, other speeds may fit by chance."""
    is_usual = any(piece.speed in KNOWN_SPEEDS for piece in alignment.pieces)
    return alignment.gain * (_USUAL_FACTOR if is_usual else 1.0)


def _is_enough(alignment: Alignment, num_parts: int) -> bool:
    return alignment.num_matching >= max(MIN_PARTS, MIN_SHARE * num_parts)


def _num_different(words: NDArray[np.uint64]) -> int:
    return int((distances(words[1:], words[:-1]) > _DIFFERENT_BITS).sum()) + 1
