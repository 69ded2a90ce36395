"""Which copy plays which movie of a lock: by its audio, and by its video if that does not match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import MovieError
from pipeline.limits import Limits
from pipeline.matching.alignment import KNOWN_SPEEDS, Alignment, align
from pipeline.matching.bands import read_bands
from pipeline.matching.frames import read_frames
from pipeline.matching.identity import as_movie
from pipeline.matching.recognize import Searched, heard_in, seen_in
from pipeline.matching.search import Parts, find_candidates
from pipeline.probe import Probe, probe
from pipeline.probe.tracks.audio_track import NO_AUDIO, AudioTrack
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint
from shards_spec.dataset.lockfile.lock import LockedMovie

#: Speeds that differ from 1 by less than this do not audibly change the pitch.
_PITCH_CHANGE = 0.005

#: Error of a measured speed if the pitch differs.
_PITCH_SPOILS = 0.003

#: Maximum number of audio tracks of a copy to try, until one plays this share of a movie's words.
_MAX_TRACKS, _ENOUGH = 6, 0.8

#: If no track plays this share, the video is compared too; it must match this many times as much.
_LITTLE, _MUCH_MORE = 0.5, 2.0

MatchedBy = Literal["file", "audio", "video"]


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
    by: MatchedBy = "file"
    clips: frozenset[int] = frozenset()
    """Rows of the movie's clips that the copy contains completely, judging by the words."""

    @property
    def rank(self) -> tuple[bool, float]:
        """The best of several copies has the highest rank: matching audio comes first."""
        return self.by != "video", self.share


def matches_of(searched: Searched, copy: Movie, limits: Limits) -> dict[int, Match]:
    """The movies that a copy plays, by their number in the lock.

    Raises `MovieError` if the copy is damaged or has no video.
    """
    with open_source(copy, fingerprint(copy), limits=limits) as source:
        probed = probe(copy, source, searched.lock.recipe.language, needs_audio=False)
        found: dict[int, Match] = {}
        problems = []
        for track in _tracks(probed):
            own = copy if track is probed.audio else replace(copy, audio_track=track.index)
            try:
                heard = _heard(searched, own, source, replace(probed, audio=track))
            except MovieError as error:
                problems.append(error)
                continue
            for number, match in heard.items():
                if number not in found or match.share > found[number].share:
                    found[number] = match
            if _best_share(found) >= _ENOUGH:
                break
        if _best_share(found) < _LITTLE:
            for number, match in _seen(searched, copy, source, probed).items():
                if number not in found or match.share > _MUCH_MORE * found[number].share:
                    found[number] = match
        if problems and not found:
            raise problems[0]
    return {searched.numbers[number]: match for number, match in found.items()}


def _tracks(probed: Probe) -> list[AudioTrack]:
    own = [] if probed.audio is NO_AUDIO else [probed.audio]
    # What looks like two channels in mono tracks may be two languages.
    alone = [
        replace(probed.audio, index=index, joined=(), channels=1, layout="mono")
        for index in probed.audio.joined
    ]
    usable = [track for track in probed.other_audio if track.is_decodable]
    return [*own, *alone, *usable][:_MAX_TRACKS]


def _best_share(found: dict[int, Match]) -> float:
    return max((match.share for match in found.values()), default=0.0)


def _heard(searched: Searched, copy: Movie, source: Readable, probed: Probe) -> dict[int, Match]:
    with read_bands(source, probed, searched.lock.recipe, copy.name) as bands:
        heard = heard_in(searched, bands)
    return {
        number: _match(searched, searched.movies[number], copy, source, probed, *found)
        for number, found in heard.items()
    }


def _seen(searched: Searched, copy: Movie, source: Readable, probed: Probe) -> dict[int, Match]:
    frames = read_frames(source, probed, searched.lock.recipe, copy.name)
    return {
        number: Match(
            as_movie(searched.movies[number], copy),
            alignment,
            share=alignment.num_matching / max(1, len(own)),
            by="video",
            clips=_whole_clips(own, alignment),
        )
        for number, (own, alignment) in seen_in(searched, frames).items()
    }


def _match(
    searched: Searched,
    movie: LockedMovie,
    copy: Movie,
    source: Readable,
    probed: Probe,
    own: Parts,
    alignment: Alignment,
) -> Match:
    """The match; if the copy has another speed, with the pitch that fits better."""
    speed = alignment.pieces[0].speed
    kept, is_kept = alignment, False
    if abs(speed - 1.0) >= _PITCH_CHANGE:
        is_kept = True
        lowered = max(
            (_lowered(searched, copy, source, probed, own, each) for each in _near(speed)),
            key=lambda alignment: alignment.gain,
        )
        is_better = lowered.mean_bits < alignment.mean_bits
        if is_better and lowered.num_matching >= 0.9 * alignment.num_matching:
            kept, is_kept = lowered, False
    share = kept.num_matching / max(1, len(own))
    clips = _whole_clips(own, kept)
    return Match(as_movie(movie, copy), kept, is_kept, share, "audio", clips)


def _lowered(
    searched: Searched, copy: Movie, source: Readable, probed: Probe, own: Parts, speed: float
) -> Alignment:
    """The alignment of the audio slowed down to the pitch of the original."""
    with read_bands(source, probed, searched.lock.recipe, copy.name, speed) as bands:
        return align(own, bands, speed, find_candidates(own, bands, speed))


def _near(speed: float) -> list[float]:
    """A speed, and the closest usual one: a changed pitch distorts the measurement a little."""
    nearest = min(KNOWN_SPEEDS, key=lambda known: abs(known / speed - 1.0))
    is_other = 0.0 < abs(nearest / speed - 1.0) <= _PITCH_SPOILS
    return [nearest, speed] if is_other else [speed]


def _whole_clips(own: Parts, alignment: Alignment) -> frozenset[int]:
    is_played = alignment.piece_of >= 0
    return frozenset(own.clip[is_played].tolist()) - frozenset(own.clip[~is_played].tolist())


#: Maximum number of copies that one movie is made from.
_MAX_COPIES = 8


def complementary(matches: Sequence[Match]) -> list[Match]:
    """The best copy of a movie, and others with clips that better copies lack."""
    chosen: list[Match] = []
    clips: frozenset[int] = frozenset()
    for match in sorted(matches, key=lambda match: match.rank, reverse=True):
        if not chosen or (match.clips - clips and len(chosen) < _MAX_COPIES):
            chosen.append(match)
            clips |= match.clips
    return chosen
