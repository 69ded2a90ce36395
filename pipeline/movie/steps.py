"""The steps of one movie, each a plain function: look in, decode, write. Ray only calls them.

prepare -> MoviePlan -> run_segment (one a segment) ┐
                     -> run_audio                   ┴-> write_movie -> commit

With `clips="shots"` the sound comes after the segments, because only they tell where clips start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import AudioClip, AudioReport, MovieAudio, audio_parts
from pipeline.errors import AllDroppedError, SourceChangedError
from pipeline.movie.frames import MovieFrames
from pipeline.movie.selection import DropReason, join_clips
from pipeline.movie.spool import SOUND, Spool, SpoolPart
from pipeline.plan import MoviePlan, PlacedPlan, Segment, place_clips, plan_movie
from pipeline.probe import probe
from pipeline.redaction import redacted
from pipeline.sources import Movie, Readable, fingerprint
from pipeline.video import VideoSegment, applied, decode_segment, find_crop, frame_size
from shards_spec import layout
from shards_spec.commits import write_commit
from shards_spec.recipe import Recipe
from shards_spec.sample import AUDIO, FRAMES, LOGMEL
from shards_spec.schema import MovieRow, Status
from shards_spec.storage import Storage
from shards_spec.writer import MovieWriter


@dataclass(frozen=True)
class Effort:
    """What a movie cost so far."""

    attempts: int
    decode_seconds: float
    """CPU seconds of ffmpeg."""
    wall_seconds: float


def prepare(movie: Movie, source: Readable, recipe: Recipe, seconds: float) -> MoviePlan:
    """Look into a movie and plan it; `seconds` is the wished length of a segment."""
    if fingerprint(movie) != source.fingerprint:
        raise SourceChangedError(f"{movie.name}: the file changed since the run began")
    found = probe(movie, source, recipe.language)
    crop = find_crop(found, source, movie.name) if recipe.crop_bars else None
    return plan_movie(
        movie=movie,
        source_fingerprint=source.fingerprint,
        recipe=recipe,
        probe=found,
        crop=crop,
        frame_size=frame_size(found.video, crop, recipe),
        segment_seconds=seconds,
    )


def run_segment(
    plan: MoviePlan, segment: Segment, source: Readable
) -> tuple[VideoSegment, NDArray[np.uint8]]:
    """Decode one segment; see `decode_segment`."""
    return decode_segment(plan, segment, source)


def placed(plan: MoviePlan, segments: Sequence[VideoSegment]) -> PlacedPlan:
    """The plan with its clips placed, given all decoded segments; see `place_clips`."""
    return place_clips(plan, [step for segment in segments for step in segment.cut_steps])


def run_audio_parts(
    plan: MoviePlan, source: Readable, segments: Sequence[VideoSegment]
) -> Generator[NDArray[np.uint8], None, MovieAudio]:
    """Decode the audio; see `audio_parts`.

    `segments` are only used when clips keep to shots.
    """
    known = segments if plan.recipe.clips == "shots" else ()
    return audio_parts(placed(plan, known), source)


def write_movie(
    plan: MoviePlan,
    storage: Storage,
    effort: Effort,
    sound: MovieAudio,
    segments: Sequence[VideoSegment],
    spool: Spool,
    folder: str | None = None,
) -> MovieRow:
    """Write a movie's shards, then its commit record; returns the movie's row.

    `spool` holds the bytes of the sound and of all segments; shards are built in `folder`, by
    default the system's folder for temporary files.

    Raises `AllDroppedError` when no clip is left, `SourceChangedError` when the source is not the
    one that was probed any more.
    """
    if fingerprint(plan.movie) != plan.source_fingerprint:
        raise SourceChangedError(f"{plan.movie.name}: the file changed while it was read")
    with_clips = placed(plan, segments)
    frames = MovieFrames(with_clips, [(found, spool.part(found.number)) for found in segments])
    clips, dropped = join_clips(with_clips, frames, sound.clips)
    if not clips:
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()))
        raise AllDroppedError(
            f"{plan.movie.name}: all {with_clips.num_clips} clips were dropped: {why}"
        )
    with MovieWriter(
        storage, plan.movie.movie_id, plan.recipe.shard_bytes, folder=folder
    ) as writer:
        for clip in clips:
            strip = frames.strip(clip.row.clip_number)
            writer.add(clip.row, _members(strip, clip.audio, spool.part(SOUND)))
    row = replace(
        movie_row(plan, effort, dropped, sound.report),
        num_clips=len(writer.rows),
        num_shards=writer.num_shards,
        shard_bytes=writer.num_bytes,
    )
    write_commit(storage, row, writer.rows)
    _delete_leftovers(storage, plan.movie.movie_id, writer.num_shards)
    return row


def bare_row(
    movie: Movie, source_fingerprint: str, recipe: Recipe, status: Status, effort: Effort
) -> MovieRow:
    """The index row of a movie that nothing more is known of."""
    return MovieRow(
        movie_id=movie.movie_id,
        group=movie.group,
        source_uri=redacted(movie.uri),
        source_bytes=movie.num_bytes,
        source_fingerprint=source_fingerprint,
        recipe_fingerprint=recipe.fingerprint,
        status=status,
        attempts=effort.attempts,
        decode_seconds=round(effort.decode_seconds, 3),
        wall_seconds=round(effort.wall_seconds, 3),
        wanted_language=movie.language,
        wanted_audio_track=movie.audio_track,
        wanted_start_seconds=movie.start_seconds,
        wanted_end_seconds=movie.end_seconds,
    )


def movie_row(
    plan: MoviePlan, effort: Effort, dropped: Counter[DropReason], sound: AudioReport
) -> MovieRow:
    """The index row of a movie whose clips are yet to be counted."""
    found, video, audio = plan.probe, plan.probe.video, plan.probe.audio
    return replace(
        bare_row(plan.movie, plan.source_fingerprint, plan.recipe, "done", effort),
        duration_ns=found.duration_ns,
        video_codec=video.codec,
        video_width=video.width,
        video_height=video.height,
        sar=f"{video.sar.numerator}:{video.sar.denominator}",
        rotation=video.rotation,
        avg_frame_rate=video.avg_frame_rate,
        is_vfr=found.is_vfr,
        field_order=video.field_order,
        hdr=video.hdr,
        crop=str(plan.crop) if plan.crop else "",
        picture_applied=applied(found, plan.crop),
        declared_duration_ns=video.declared_duration_ns,
        video_held_ns=found.held_ns,
        video_lost_ns=found.lost_ns,
        audio_track=audio.index,
        audio_language=audio.language,
        audio_codec=audio.codec,
        audio_channels=audio.channels,
        audio_choice=audio.choice,
        audio_start_offset_ns=sound.start_ns,
        audio_filled_ns=sound.filled_ns,
        audio_cut_ns=sound.cut_ns,
        audio_drift_ppm=sound.drift_ppm,
        dropped_black=dropped["black"],
        dropped_silent=dropped["silent"],
        dropped_frozen=dropped["frozen"],
        dropped_too_short=dropped["too_short"],
        dropped_damaged=dropped["damaged"],
    )


def _members(strip: bytes, audio: AudioClip, sounds: SpoolPart) -> dict[str, bytes]:
    logmel_end = audio.logmel_offset + audio.logmel_bytes
    members = {
        FRAMES: strip,
        LOGMEL: sounds[audio.logmel_offset : logmel_end].tobytes(),
    }
    if audio.flac_bytes:
        members[AUDIO] = sounds[logmel_end : logmel_end + audio.flac_bytes].tobytes()
    return members


def _delete_leftovers(storage: Storage, movie_id: str, num_shards: int) -> None:
    """Shards of an earlier, larger result that the new commit no longer lists."""
    kept = {layout.shard_key(movie_id, number) for number in range(num_shards)}
    for info in storage.list(layout.shards_prefix(movie_id)):
        if info.key not in kept:
            storage.delete(info.key)
