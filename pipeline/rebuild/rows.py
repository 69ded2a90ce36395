"""The rows of rebuilt clips and movies, for the index and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.movie import rows
from pipeline.movie.frames import VideoClip
from pipeline.plan.movie_plan import MoviePlan
from pipeline.rebuild.audio import ClipAudio, filled_ns
from pipeline.rebuild.decode import DecodedPiece, Request
from pipeline.rebuild.fit import Fit, Source
from pipeline.rebuild.report import ClipReport, MovieReport
from shards_spec import layout
from shards_spec.dataset.lockfile.lock import ROW_COLUMNS, Lock, LockedMovie
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema import ClipContent, MovieRow
from shards_spec.schema.dropped import DroppedClips, sorted_drops
from shards_spec.version import version


def clip_content(
    request: Request, item: Source, piece: DecodedPiece, video: VideoClip, audio: ClipAudio
) -> ClipContent:
    """The index row of a clip, without where it is stored."""
    lock, movie, recipe = request.lock, request.movie, request.lock.recipe
    clips, number = movie.clips, audio.clip_number
    start_ns, end_ns = lock.clip_ns(int(clips.start_step[item.row]))
    pts_ns = video.first_frame_pts_ns
    if item.piece is not None:
        pts_ns = min(start_ns, piece.times.original_ns(pts_ns))
    return ClipContent(
        clip_id=layout.clip_id(movie.movie_id, number),
        movie_id=movie.movie_id,
        group=movie.group,
        clip_number=number,
        start_ns=start_ns,
        end_ns=end_ns,
        first_frame_pts_ns=pts_ns,
        num_frames=recipe.num_frames,
        fps=recipe.fps,
        height=piece.plan.height,
        width=piece.plan.width,
        sample_rate_hz=recipe.sample_rate_hz,
        num_audio_samples=audio.num_samples,
        av_skew_ns=audio.skew_ns,
        shot_id=int(clips.shot_id[item.row]),
        num_cuts=int(clips.num_cuts[item.row]),
        luma_mean=_float32(video.luma_mean),
        luma_std=_float32(video.luma_std),
        motion=_float32(video.motion),
        audio_rms_dbfs=_float32(audio.rms_dbfs),
        audio_peak_dbfs=_float32(audio.peak_dbfs),
        filled_audio_ns=filled_ns(piece.report, piece.times, start_ns, end_ns),
    )


def _float32(value: float) -> float:
    return float(np.float32(round(value, 4)))


def clip_report(
    lock: Lock,
    movie: LockedMovie,
    row: int,
    fit: Fit,
    item: Source | None = None,
    piece: DecodedPiece | None = None,
    *,
    in_dataset: bool = False,
) -> ClipReport:
    """What became of a clip, and where it is from if a copy has it."""
    start_ns, end_ns = lock.clip_ns(int(movie.clips.start_step[row]))
    report = ClipReport(
        clip_id=layout.clip_id(movie.movie_id, int(movie.clips.clip_number[row])),
        movie_id=movie.movie_id,
        start_ns=start_ns,
        end_ns=end_ns,
        status=fit.status,
        reason=fit.reason,
        in_dataset=in_dataset,
        audio_fit=fit.audio_fit,
        frame_fit=fit.frame_fit,
    )
    if item is None or piece is None or fit.status == "missing":
        return report
    copy_ns = [
        round(piece.times.copy_seconds(Fraction(time_ns, NANOSECONDS)) * NANOSECONDS)
        for time_ns in (start_ns, end_ns)
    ]
    return replace(
        report,
        matched_by=piece.match.by,
        copy_name=piece.match.copy.name,
        copy_start_ns=copy_ns[0],
        copy_end_ns=copy_ns[1],
        speed=float(piece.times.speed),
        offset_error_ms=1000 * item.piece.precision if item.piece else 0.0,
    )


def missing_movie(lock: Lock, movie: LockedMovie, reason: str) -> MovieReport:
    """The report of a movie that no clip could be made of."""
    order = np.argsort(movie.clips.start_step, kind="stable").tolist()
    fit = Fit("missing", reason, None, None)
    clips = tuple(clip_report(lock, movie, row, fit) for row in order)
    return MovieReport(movie.movie_id, movie.source_name, "", reason, clips)


def made_movie(
    request: Request,
    plan: MoviePlan,
    pieces: Sequence[DecodedPiece],
    report: MovieReport,
    wall_seconds: float,
) -> MovieRow:
    """The row of a movie, with the times and drops of the original, without clip counts.

    `plan` is that of its best copy.
    """
    movie = request.movie
    segments = [segment for piece in pieces for segment in piece.segments]
    cost = rows.Cost(1, sum(segment.cpu_seconds for segment in segments), wall_seconds)
    row = rows.movie_row(plan, cost, _drops(movie, report), pieces[0].report)
    return replace(
        row,
        duration_ns=movie.duration_ns,
        clips_not_chosen=movie.clips_not_chosen,
        **rows.decoding_columns(pieces[0].plan, segments),
    )


def failed_movie(lock: Lock, movie: LockedMovie, report: MovieReport) -> MovieRow:
    """The row of a movie without clips."""
    drops = _drops(movie, report)
    reasons = [clip.reason for clip in report.clips]
    error_class = "no_fitting_clip" if report.copy_name else "no_copy"
    return MovieRow(
        source_uri=movie.source_name,
        recipe_fingerprint=lock.recipe.fingerprint,
        status="failed",
        error_class=error_class,
        error=report.reason or max(reasons, key=reasons.count),
        reelshards_version=version(),
        ffmpeg_version=ffmpeg_version(),
        **{name: getattr(movie, name) for name in ROW_COLUMNS},
        **rows.dropped_columns(drops),
    )


def _drops(movie: LockedMovie, report: MovieReport) -> DroppedClips:
    """Clips that rules dropped from the original, and clips that could not be rebuilt."""
    left_out = [
        (int(clip.clip_id.rpartition("_")[2]), clip.start_ns, clip.end_ns, clip.status)
        for clip in report.clips
        if not clip.in_dataset
    ]
    return sorted_drops([*movie.drops.rows(), *left_out])
