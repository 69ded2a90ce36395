"""Builds the index row of one movie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.audio import AudioReport
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.plan.movie_plan import MoviePlan
from pipeline.probe import Probe
from pipeline.probe.streams.video_stream import Crop, VideoStream
from pipeline.probe.tracks.audio_track import AudioTrack
from pipeline.sources import Movie
from pipeline.video import selection_of
from pipeline.video.filters import applied
from pipeline.video.segment import VideoSegment
from shards_spec.recipe import Recipe
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow
from shards_spec.schema.columns import Status
from shards_spec.schema.dropped import DROP_REASONS, DroppedClips
from shards_spec.version import version


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
        source_root=movie.root,
        source_bytes=movie.num_bytes,
        source_fingerprint=source_fingerprint,
        source_modified_ns=movie.modified_ns,
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
        reelshards_version=version(),
        ffmpeg_version=ffmpeg_version(),
        extra=dict(movie.metadata),
    )


def failed_row(bare: MovieRow, known: Mapping[str, Any], error_class: str, error: str) -> MovieRow:
    """The row of a movie that failed, with whatever is `known` about it; see `MovieError.known`."""
    columns: dict[str, Any] = {}
    if "probe" in known:
        probe: Probe = known["probe"]
        columns |= _probe_columns(probe, known.get("crop"))
        known = {"video": probe.video, "audio": probe.audio, **known}
    if "video" in known:
        columns |= _video_columns(known["video"])
    if "audio" in known:
        columns |= _audio_columns(known["audio"])
    if "audio_report" in known:
        columns |= _report_columns(known["audio_report"])
    if "dropped" in known:
        columns |= dropped_columns(known["dropped"])
    if "not_chosen" in known:
        columns["clips_not_chosen"] = known["not_chosen"]
    return replace(bare, error_class=error_class, error=error, **columns)


def movie_row(
    plan: MoviePlan, cost: Cost, dropped: DroppedClips, audio_report: AudioReport
) -> MovieRow:
    """The index row of a decoded movie, without the numbers of its clips and shards."""
    return replace(
        bare_row(plan.movie, plan.source_fingerprint, plan.recipe, "done", cost),
        **_probe_columns(plan.probe, plan.crop),
        **_video_columns(plan.probe.video),
        **_audio_columns(plan.probe.audio),
        **_report_columns(audio_report),
        **dropped_columns(dropped),
    )


def decoding_columns(plan: MoviePlan, segments: Sequence[VideoSegment]) -> dict[str, Any]:
    """What the decoder of a movie saw, and what it cost."""
    selection = selection_of(plan) if any(segment.leaves_out for segment in segments) else None
    error = plan.fast_error if plan.is_fast else None
    return {
        "decode_mode": "fast" if plan.is_fast else "selective" if selection else "full",
        "frames_left_out": selection.num_left_out if selection else 0,
        **_device_columns(segments),
        "decode_route": plan.route.name,
        "predicted_decode_seconds": round(plan.route.predicted_seconds, 3),
        "predicted_pass_seconds": round(plan.route.pass_seconds, 3),
        "video_decode_seconds": round(sum(segment.cpu_seconds for segment in segments), 3),
        "fast_time_error_ms": error and error.time_ns / 1e6,
        "fast_ssim": error and error.ssim,
        "fast_min_ssim": error and error.min_ssim,
    }


def _device_columns(segments: Sequence[VideoSegment]) -> dict[str, Any]:
    problems = [segment.hardware_problem for segment in segments if segment.hardware_problem]
    return {
        "decode_device": "+".join(sorted({segment.device for segment in segments})),
        "hardware_fallbacks": len(problems),
        "hardware_problem": problems[0] if problems else "",
    }


def _probe_columns(probe: Probe, crop: Crop | None) -> dict[str, Any]:
    return {
        "duration_ns": probe.duration_ns,
        "is_vfr": probe.is_vfr,
        "crop": str(crop) if crop else "",
        "picture_applied": applied(probe, crop),
        "video_held_ns": probe.still_ns,
        "video_lost_ns": probe.lost_ns,
        "missing_ns": probe.missing_ns,
        "program": probe.program,
        "num_programs": probe.num_programs,
    }


def _video_columns(video: VideoStream) -> dict[str, Any]:
    return {
        "video_codec": video.codec,
        "video_width": video.width,
        "video_height": video.height,
        "sar": f"{video.sar.numerator}:{video.sar.denominator}",
        "rotation": video.rotation,
        "avg_frame_rate": video.avg_frame_rate,
        "field_order": video.field_order,
        "hdr": video.hdr,
        "declared_duration_ns": video.declared_duration_ns,
    }


def _audio_columns(audio: AudioTrack) -> dict[str, Any]:
    return {
        "audio_track": audio.index,
        "audio_language": audio.language,
        "audio_codec": audio.codec,
        "audio_channels": audio.channels,
        "audio_choice": audio.choice,
    }


def _report_columns(report: AudioReport) -> dict[str, Any]:
    return {
        "audio_start_offset_ns": report.start_ns,
        "audio_filled_ns": report.filled_ns,
        "audio_cut_ns": report.cut_ns,
        "audio_drift_ppm": report.drift_ppm,
    }


def dropped_columns(dropped: DroppedClips) -> dict[str, Any]:
    """The dropped clips of a movie, and how many there are by reason."""
    counts = dropped.counts
    return {**{f"dropped_{reason}": counts[reason] for reason in DROP_REASONS}, "drops": dropped}
