"""Writes the shards of one movie, and its commit record last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.audio import AudioReport
from pipeline.audio.clips import AudioClip, MovieAudio
from pipeline.errors import AllDroppedError, SourceChangedError
from pipeline.movie.frames import MovieFrames
from pipeline.movie.rows import Cost, decoding_columns, movie_row
from pipeline.movie.selection import select_clips
from pipeline.movie.spool import AUDIO_PART, Spool, SpoolPart
from pipeline.movie.steps import with_clips
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan
from pipeline.sources.identity import fingerprint
from pipeline.video.segment import VideoSegment
from shards_spec.dataset.index import write_commit
from shards_spec.dataset.writer import MovieWriter
from shards_spec.sample import AUDIO, FRAMES, LOGMEL
from shards_spec.schema import MovieRow
from shards_spec.schema.dropped import DroppedClips
from shards_spec.storage import Storage


def write_movie(
    plan: MoviePlan,
    storage: Storage,
    cost: Cost,
    audio: MovieAudio,
    segments: Sequence[VideoSegment],
    spool: Spool,
    *,
    first_shard: int = 0,
    folder: str | None = None,
) -> MovieRow:
    """Write a movie's shards, then its commit record; returns the movie's row.

    Nothing is replaced or deleted: shards of a previous version of the movie stay readable until
    the index no longer lists them.

    Args:
        spool: bytes of the audio and of all segments.
        first_shard: number of the first shard, above those of a previous version.
        folder: where shards are built; by default the system's folder for temporary files.

    Raises `AllDroppedError` if no clip is left, `SourceChangedError` if the source has changed
    since it was probed.
    """
    if fingerprint(plan.movie) != plan.source_fingerprint:
        raise SourceChangedError(f"{plan.movie.name}: the file changed while it was read")
    placed = with_clips(plan, segments)
    frames = MovieFrames(placed, [(video, spool.part(video.number)) for video in segments])
    clips, dropped = select_clips(placed, frames, audio.clips)
    if not clips:
        raise _all_dropped(placed, dropped, audio.report)
    name, size = plan.movie.movie_id, plan.recipe.shard_bytes
    with MovieWriter(storage, name, size, first_shard=first_shard, folder=folder) as writer:
        for clip in clips:
            strip = frames.strip(clip.content.clip_number)
            writer.add(clip.content, _members(strip, clip.audio, spool.part(AUDIO_PART)))
    row = replace(
        movie_row(plan, cost, dropped, audio.report),
        num_clips=len(writer.rows),
        num_shards=writer.num_shards,
        shard_bytes=writer.num_bytes,
        first_shard=first_shard,
        clips_not_chosen=placed.num_not_chosen,
        **decoding_columns(plan, segments),
    )
    write_commit(storage, row, writer.rows)
    return row


def _all_dropped(
    placed: PlacedPlan, dropped: DroppedClips, audio_report: AudioReport
) -> AllDroppedError:
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.counts.items()))
    error = AllDroppedError(
        f"{placed.movie.name}: all {placed.num_clips} clips were dropped: {why}"
    )
    error.known = {
        "dropped": dropped,
        "not_chosen": placed.num_not_chosen,
        "audio_report": audio_report,
    }
    return error


def _members(strip: bytes, audio: AudioClip, part: SpoolPart) -> dict[str, bytes]:
    logmel_end = audio.logmel_offset + audio.logmel_bytes
    members = {
        FRAMES: strip,
        LOGMEL: part.read(audio.logmel_offset, logmel_end),
    }
    if audio.flac_bytes:
        members[AUDIO] = part.read(logmel_end, logmel_end + audio.flac_bytes)
    return members
