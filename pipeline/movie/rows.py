"""Builds the index row of one movie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from pipeline.audio import AudioReport
from pipeline.movie.selection import DropReason
from pipeline.plan import MoviePlan
from pipeline.redaction import redacted
from pipeline.sources import Movie
from pipeline.video import applied
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow, Status


@dataclass(frozen=True)
class Cost:
    """What a movie cost so far."""

    attempts: int
    decode_seconds: float
    """CPU seconds of ffmpeg."""
    wall_seconds: float


def bare_row(
    movie: Movie, source_fingerprint: str, recipe: Recipe, status: Status, cost: Cost
) -> MovieRow:
    """The index row of a movie about which nothing more is known than its source."""
    return MovieRow(
        movie_id=movie.movie_id,
        group=movie.group,
        source_uri=redacted(movie.uri),
        source_bytes=movie.num_bytes,
        source_fingerprint=source_fingerprint,
        recipe_fingerprint=recipe.fingerprint,
        status=status,
        attempts=cost.attempts,
        decode_seconds=round(cost.decode_seconds, 3),
        wall_seconds=round(cost.wall_seconds, 3),
        wanted_language=movie.language,
        wanted_audio_track=movie.audio_track,
        wanted_program=movie.program,
        wanted_start_seconds=movie.start_seconds,
        wanted_end_seconds=movie.end_seconds,
    )


def movie_row(
    plan: MoviePlan, cost: Cost, dropped: Counter[DropReason], audio_report: AudioReport
) -> MovieRow:
    """The index row of a decoded movie, without the numbers of its clips and shards."""
    probe, video, audio = plan.probe, plan.probe.video, plan.probe.audio
    return replace(
        bare_row(plan.movie, plan.source_fingerprint, plan.recipe, "done", cost),
        duration_ns=probe.duration_ns,
        video_codec=video.codec,
        video_width=video.width,
        video_height=video.height,
        sar=f"{video.sar.numerator}:{video.sar.denominator}",
        rotation=video.rotation,
        avg_frame_rate=video.avg_frame_rate,
        is_vfr=probe.is_vfr,
        field_order=video.field_order,
        hdr=video.hdr,
        crop=str(plan.crop) if plan.crop else "",
        picture_applied=applied(probe, plan.crop),
        declared_duration_ns=video.declared_duration_ns,
        video_held_ns=probe.still_ns,
        video_lost_ns=probe.lost_ns,
        program=probe.program,
        num_programs=probe.num_programs,
        audio_track=audio.index,
        audio_language=audio.language,
        audio_codec=audio.codec,
        audio_channels=audio.channels,
        audio_choice=audio.choice,
        audio_start_offset_ns=audio_report.start_ns,
        audio_filled_ns=audio_report.filled_ns,
        audio_cut_ns=audio_report.cut_ns,
        audio_drift_ppm=audio_report.drift_ppm,
        dropped_black=dropped["black"],
        dropped_silent=dropped["silent"],
        dropped_frozen=dropped["frozen"],
        dropped_too_short=dropped["too_short"],
        dropped_damaged=dropped["damaged"],
    )
