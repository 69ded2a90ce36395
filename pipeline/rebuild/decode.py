"""Decodes the clips of one piece of a copy: those that have the same offset and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from pipeline.audio import AudioReport
from pipeline.matching import Match, Piece
from pipeline.movie.alone import decode_into
from pipeline.movie.frames import MovieFrames
from pipeline.movie.spool import Spool, SpoolPart
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan
from pipeline.rebuild.audio import ClipAudio, clip_audio
from pipeline.rebuild.fit import Source
from pipeline.rebuild.retime import (
    SAME_TIMES,
    Times,
    is_inside,
    placed,
    retimed,
    times_of,
)
from pipeline.sources import Readable
from pipeline.video.segment import VideoSegment
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.recipe import NANOSECONDS

#: Parts of the spool that one piece of a movie may have.
_KEYS_PER_PIECE = 1_000_000


@dataclass(frozen=True)
class Request:
    """What to make: a movie of a lock, from copies."""

    lock: Lock
    movie: LockedMovie
    matches: Sequence[Match]
    """The copies to make it from, best first; at least one."""
    min_fit: float
    """Clips whose audio has a fit below this are left out."""
    keep_other_audio: bool = False
    """Whether to make clips whose video fits but whose audio differs."""


@dataclass(frozen=True, eq=False)
class StoredAudio:
    """The audio of a clip whose members are stored in the spool, one after another."""

    audio: ClipAudio
    """Without its members."""
    sizes: Mapping[str, int]
    part: SpoolPart

    def members(self) -> dict[str, bytes]:
        """The members by suffix."""
        found, position = {}, 0
        for name, size in self.sizes.items():
            found[name] = self.part.read(position, position + size)
            position += size
        return found


@dataclass(frozen=True, eq=False)
class DecodedPiece:
    """Decoded clips of a copy that have the same times."""

    match: Match
    plan: PlacedPlan
    times: Times
    frames: MovieFrames
    segments: list[VideoSegment]
    audio: Mapping[int, StoredAudio]
    """By clip number."""
    report: AudioReport


def decode_piece(
    request: Request,
    match: Match,
    plan: MoviePlan,
    source: Readable,
    spool: Spool,
    group: Sequence[Source],
    piece_number: int,
    num_threads: int,
) -> DecodedPiece | None:
    """Decode the clips of one piece, in order of time; None if the copy contains none of them."""
    lock, clips, piece = request.lock, request.movie.clips, group[0].piece
    numbers = [int(clips.clip_number[item.row]) for item in group]
    starts = [int(clips.start_step[item.row]) for item in group]
    if piece is None:
        times, own = SAME_TIMES, placed(plan, numbers, starts)
    else:
        inside = _inside(request, plan, group)
        if not inside:
            return None
        numbers = [int(clips.clip_number[item.row]) for item in inside]
        starts = [int(clips.start_step[item.row]) for item in inside]
        times = _times(request, plan, piece, starts[0])
        own = retimed(plan, times, numbers, starts)
    key = piece_number * _KEYS_PER_PIECE
    decoded, segments = decode_into(spool, own, source, num_threads=num_threads, first_key=key)
    assert isinstance(decoded, PlacedPlan)
    frames = MovieFrames(decoded, [(video, spool.part(key + video.number)) for video in segments])
    starts_ns = {n: lock.clip_ns(start)[0] for n, start in zip(numbers, starts, strict=True)}
    audio, reports = {}, list[AudioReport]()
    for item in clip_audio(
        decoded,
        source,
        lock.recipe,
        times,
        starts_ns,
        keeps_pitch=match.keeps_pitch,
        reports=reports,
    ):
        sizes = {name: len(data) for name, data in item.members.items()}
        clip_key = -1 - item.clip_number
        spool.add(clip_key, [np.frombuffer(b"".join(item.members.values()), np.uint8)])
        stored = StoredAudio(replace(item, members={}), sizes, spool.part(clip_key))
        audio[item.clip_number] = stored
    return DecodedPiece(match, decoded, times, frames, segments, audio, reports[0])


def _inside(request: Request, plan: MoviePlan, group: Sequence[Source]) -> list[Source]:
    """The clips of a piece that lie within the copy."""
    lock, piece = request.lock, group[0].piece
    assert piece is not None
    steps_of_clips = [int(request.movie.clips.start_step[item.row]) for item in group]
    times = _times(request, plan, piece, steps_of_clips[-1])
    return [
        item
        for item, step in zip(group, steps_of_clips, strict=True)
        if is_inside(plan.probe, times, lock.clip_ns(step))
    ]


def _times(request: Request, plan: MoviePlan, piece: Piece, first_step: int) -> Times:
    lock = request.lock
    first = Fraction(lock.clip_ns(first_step)[0], NANOSECONDS)
    return times_of(plan.probe, lock.recipe, piece.speed, piece.offset, first)
