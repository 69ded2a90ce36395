"""Which copy plays which movie of a lock: by the source's identity first, then by its audio."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import MovieError
from pipeline.limits import Limits
from pipeline.matching.alignment import KNOWN_SPEEDS, Alignment, align
from pipeline.matching.bands import Bands, read_bands
from pipeline.matching.search import Candidate, Parts, find_candidates
from pipeline.probe import Probe, probe
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint, is_local, local_file
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie

#: Speeds that all movies are searched at; the alignment corrects small differences.
SEARCH_SPEEDS = KNOWN_SPEEDS[:3]

#: If nothing is found at those: from this much slower to this much faster, in such steps.
_OTHER_SPEEDS = tuple(1.0 + 0.005 * step for step in (*range(-20, 0), *range(1, 21)))

#: Movies that a copy is compared with in full.
_MAX_MOVIES = 5

#: A copy plays at least this share of a movie's words, and so many of them, which differ in so many
#: bits on average.
MIN_SHARE, MIN_PARTS, MAX_MEAN_BITS = 0.1, 4, 16.0

#: Speeds that differ from 1 by less than this do not audibly change the pitch.
_PITCH_CHANGE = 0.005

#: Audio tracks of a copy that are tried.
_MAX_TRACKS = 4

_HASH_BYTES = 1 << 22


@dataclass(frozen=True, eq=False)
class Match:
    """A copy that plays a movie."""

    copy: Movie
    """As it is opened: with the audio track that was recognized."""
    alignment: Alignment | None
    """None for the same file."""
    keeps_pitch: bool = False
    """Whether the copy has another speed, but the pitch of the original."""
    share: float = 1.0
    """Of the movie's words that the copy plays."""


def as_requested(movie: LockedMovie, copy: Movie) -> Movie:
    """A copy as a corpus that named what the lock's did would have it."""
    return replace(
        as_movie(movie, copy),
        language=movie.wanted_language,
        audio_track=movie.wanted_audio_track,
        program=movie.wanted_program,
        start_seconds=movie.wanted_start_seconds,
        end_seconds=movie.wanted_end_seconds,
    )


def as_movie(movie: LockedMovie, copy: Movie) -> Movie:
    """A copy under the ids of the lock."""
    return replace(
        copy,
        movie_id=movie.movie_id,
        group=movie.group,
        metadata=tuple(movie.extra.items()),
    )


def identical_copy(movie: LockedMovie, copies: Sequence[Movie]) -> Movie | None:
    """The copy that is the same file as the original, as far as its fingerprint says.

    Copies that cannot be read are passed over.
    """
    for copy in copies:
        if copy.num_bytes != movie.source_bytes:
            continue
        requested = as_requested(movie, copy)
        try:
            if movie.source_fingerprint in _fingerprints(requested):
                return requested
        except MovieError:
            continue
    return None


def _fingerprints(movie: Movie) -> Iterator[str]:
    """What a source may be called: here, and if it were an object of a bucket."""
    yield fingerprint(movie)
    if is_local(movie):
        digest = hashlib.md5(usedforsecurity=False)
        with open(local_file(movie), "rb") as file:
            while data := file.read(_HASH_BYTES):
                digest.update(data)
        in_bucket = replace(movie, uri="s3://bucket/object")
        for etag in (f'"{digest.hexdigest()}"', digest.hexdigest()):
            yield fingerprint(replace(in_bucket, etag=etag))


def matches_of(lock: Lock, numbers: Sequence[int], copy: Movie, limits: Limits) -> dict[int, Match]:
    """The movies of a lock that a copy plays, by their number in it.

    Args:
        numbers: of the movies that are searched.

    Raises `MovieError` if the copy cannot be used: it is damaged, or has no video or no audio.
    """
    movies = [lock.movies[number] for number in numbers]
    parts = Parts.of(lock, movies)
    with open_source(copy, fingerprint(copy), limits=limits) as source:
        probed = probe(copy, source, lock.recipe.language)
        tracks = [probed.audio, *(track for track in probed.other_audio if track.is_decodable)]
        for track in tracks[:_MAX_TRACKS]:
            own = copy if track is probed.audio else replace(copy, audio_track=track.index)
            found = _matches(lock, movies, parts, own, source, replace(probed, audio=track))
            if found:
                return {numbers[number]: match for number, match in found.items()}
    return {}


def _matches(
    lock: Lock,
    movies: Sequence[LockedMovie],
    parts: Parts,
    copy: Movie,
    source: Readable,
    probed: Probe,
) -> dict[int, Match]:
    found = {}
    with read_bands(source, probed, lock.recipe, copy.name) as bands:
        for number, speeds in _recognized(parts, bands).items():
            own = Parts.of(lock, [movies[number]])
            alignments = [
                align(own, bands, speed, find_candidates(own, bands, speed)) for speed in speeds
            ]
            best = max(alignments, key=_preference)
            if _is_credible(best, len(own)):
                found[number] = _match(lock, movies[number], copy, source, probed, best)
    return found


def _preference(alignment: Alignment) -> float:
    """The gain, and more if the speed is a usual one: of a few words, chance may fit others."""
    is_usual = any(piece.speed in KNOWN_SPEEDS for piece in alignment.pieces)
    return alignment.gain * (_USUAL_FACTOR if is_usual else 1.0)


def _recognized(parts: Parts, bands: Bands) -> dict[int, list[float]]:
    """Movies that the copy may play, and at which speeds; the most votes first."""
    best: dict[int, list[Candidate]] = {}
    for speeds in (SEARCH_SPEEDS, _OTHER_SPEEDS):
        for speed in speeds:
            first: dict[int, Candidate] = {}
            for item in find_candidates(parts, bands, speed):
                first.setdefault(item.movie, item)
            for number, item in first.items():
                best.setdefault(number, []).append(item)
        # Chance gives a few votes; a copy at one of the usual speeds gets many.
        if any(item.votes >= _MANY_VOTES for items in best.values() for item in items):
            break
    for items in best.values():
        items.sort(key=lambda item: (item.speed not in SEARCH_SPEEDS, -item.votes))
    ranked = sorted(best, key=lambda number: -max(item.votes for item in best[number]))
    ranked = ranked[:_MAX_MOVIES]
    return {number: [item.speed for item in best[number][:_MAX_SPEEDS]] for number in ranked}


#: Speeds at which a movie is aligned; the one that fits best counts.
_MAX_SPEEDS = 4
_USUAL_FACTOR = 1.25

#: Votes that are enough not to search at unusual speeds.
_MANY_VOTES = 16


def _is_credible(alignment: Alignment, num_parts: int) -> bool:
    needed = max(MIN_PARTS, MIN_SHARE * num_parts)
    return alignment.num_matching >= needed and alignment.mean_bits <= MAX_MEAN_BITS


def _match(
    lock: Lock,
    movie: LockedMovie,
    copy: Movie,
    source: Readable,
    probed: Probe,
    alignment: Alignment,
) -> Match:
    """The match; if the copy has another speed, with the pitch that fits better."""
    own = Parts.of(lock, [movie])
    speed = alignment.pieces[0].speed
    kept, is_kept = alignment, False
    if abs(speed - 1.0) >= _PITCH_CHANGE:
        is_kept = True
        with read_bands(source, probed, lock.recipe, copy.name, speed) as bands:
            lowered = align(own, bands, speed, find_candidates(own, bands, speed))
        is_better = lowered.mean_bits < alignment.mean_bits
        if is_better and lowered.num_matching >= 0.9 * alignment.num_matching:
            kept, is_kept = lowered, False
    share = kept.num_matching / max(1, len(own))
    return Match(as_movie(movie, copy), kept, is_kept, share)
