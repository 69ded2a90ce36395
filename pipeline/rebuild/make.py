"""Makes the clips of one movie from a copy of it, in the order of the lock, and commits them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from pipeline.ffmpeg import reaper
from pipeline.limits import Limits
from pipeline.movie import rows, steps
from pipeline.movie.frames import VideoClip
from pipeline.movie.spool import Spool
from pipeline.plan.movie_plan import MoviePlan
from pipeline.rebuild.audio import ClipAudio, filled_ns
from pipeline.rebuild.decode import DecodedPiece, Request, decode_piece
from pipeline.rebuild.fit import Fit, Missing, Source, clips_of, fit_of
from pipeline.rebuild.report import ClipReport, MovieReport, write_report
from pipeline.rebuild.retime import (
    SAME_TIMES,
    SEGMENT_SECONDS,
    Times,
    with_size,
)
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint
from shards_spec import layout
from shards_spec.dataset.fingerprints.compute import strip_luma
from shards_spec.dataset.index import write_commit
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.dataset.lockfile.words import strip_words
from shards_spec.dataset.writer import MovieWriter
from shards_spec.recipe import NANOSECONDS
from shards_spec.sample import FRAMES
from shards_spec.schema import ClipContent, MovieRow
from shards_spec.schema.dropped import DroppedClips
from shards_spec.storage import Storage

_OUTSIDE = "the copy begins later or ends earlier"
_NO_FRAMES = "the copy has not all of its frames"
_DAMAGED = "the copy is damaged here"


def make_movie(
    request: Request, storage: Storage, limits: Limits, num_threads: int = 1
) -> MovieReport:
    """Write the shards, the report and the commit record of one movie.

    Nothing but the report is written if the copy has no clip of it.

    Raises `MovieError` if the copy cannot be decoded, or changes meanwhile.
    """
    lock, movie, match = request.lock, request.movie, request.match
    began = time.monotonic()
    with (
        open_source(match.copy, fingerprint(match.copy), limits=limits) as source,
        reaper.own_folder() as folder,
        Spool() as spool,
    ):
        plan = steps.prepare(match.copy, source, lock.recipe, SEGMENT_SECONDS)
        if match.alignment is not None:
            plan = with_size(plan, movie.height, movie.width)
        found = list(clips_of(lock, movie, match.alignment))
        decoded = [
            decode_piece(request, plan, source, spool, group, number, num_threads)
            for number, group in enumerate(_groups(found))
        ]
        pieces = [piece for piece in decoded if piece is not None]
        first_shard = int(movie.clips.shard.min())
        with MovieWriter(
            storage,
            movie.movie_id,
            lock.recipe.shard_bytes,
            first_shard=first_shard,
            folder=folder,
        ) as writer:
            clips = _write_clips(request, found, pieces, writer)
        report = MovieReport(movie.movie_id, movie.source_name, match.copy.name, "", clips)
        write_report(storage, report, lock.digest)
        if writer.rows:
            row = _row(request, plan, pieces, report, time.monotonic() - began)
            row = replace(
                row,
                num_clips=len(writer.rows),
                num_shards=writer.num_shards,
                shard_bytes=writer.num_bytes,
                first_shard=first_shard,
            )
            write_commit(storage, row, writer.rows)
    return report


def missing_movie(lock: Lock, movie: LockedMovie, reason: str) -> MovieReport:
    """The report of a movie of which nothing could be made."""
    order = np.argsort(movie.clips.start_step, kind="stable").tolist()
    clips = tuple(_report(lock, movie, row, Fit("missing", reason, None, None)) for row in order)
    return MovieReport(movie.movie_id, movie.source_name, "", reason, clips)


def _groups(found: Sequence[Source | Missing]) -> list[list[Source]]:
    """Clips that are decoded together: those of one piece."""
    groups: dict[int, list[Source]] = {}
    for item in found:
        if isinstance(item, Source):
            groups.setdefault(id(item.piece), []).append(item)
    return list(groups.values())


def _write_clips(
    request: Request,
    found: Sequence[Source | Missing],
    pieces: Sequence[DecodedPiece],
    writer: MovieWriter,
) -> tuple[ClipReport, ...]:
    """Write the clips that fit, in the order of the lock; returns the reports of all by time."""
    lock, movie = request.lock, request.movie
    piece_of = {number: piece for piece in pieces for number in piece.plan.numbers}
    reports = {}
    for item in sorted(found, key=lambda item: item.row):
        if isinstance(item, Missing):
            fit = Fit("missing", item.reason, None, None)
            reports[item.row] = _report(lock, movie, item.row, fit)
            continue
        piece = piece_of.get(int(movie.clips.clip_number[item.row]))
        if piece is None:
            fit = Fit("missing", _OUTSIDE, None, None)
            reports[item.row] = _report(lock, movie, item.row, fit)
            continue
        fit = _write_clip(request, item, piece, writer)
        reports[item.row] = _report(lock, movie, item.row, fit, item, piece.times)
    return tuple(reports[item.row] for item in found)


def _write_clip(request: Request, item: Source, piece: DecodedPiece, writer: MovieWriter) -> Fit:
    """Write a clip unless it does not fit; returns how it fits."""
    movie, row = request.movie, item.row
    number = int(movie.clips.clip_number[row])
    video, stored = piece.frames.clip(number), piece.audio[number]
    if video is None or piece.frames.is_damaged(number):
        return Fit("missing", _NO_FRAMES if video is None else _DAMAGED, None, None)
    content = _content(request, item, piece, video, stored.audio)
    strip = piece.frames.strip(number)
    fit = fit_of(
        movie,
        row,
        stored.audio.words,
        strip_words(strip_luma(strip, content)),
        is_at_edge=item.is_at_edge,
        min_fit=request.min_fit,
    )
    if fit.status != "aligned":
        return fit
    writer.add(content, {FRAMES: strip, **stored.members()})
    is_same = writer.rows[-1].crc32c == int(movie.clips.crc32c[row])
    return replace(fit, status="identical") if is_same else fit


def _content(
    request: Request, item: Source, piece: DecodedPiece, video: VideoClip, audio: ClipAudio
) -> ClipContent:
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


def _report(
    lock: Lock,
    movie: LockedMovie,
    row: int,
    fit: Fit,
    item: Source | None = None,
    times: Times = SAME_TIMES,
) -> ClipReport:
    start_ns, end_ns = lock.clip_ns(int(movie.clips.start_step[row]))
    report = ClipReport(
        clip_id=layout.clip_id(movie.movie_id, int(movie.clips.clip_number[row])),
        movie_id=movie.movie_id,
        start_ns=start_ns,
        end_ns=end_ns,
        status=fit.status,
        reason=fit.reason,
        audio_fit=fit.audio_fit,
        frame_fit=fit.frame_fit,
    )
    if item is None:
        return report
    copy_ns = [
        round(times.copy_seconds(Fraction(time_ns, NANOSECONDS)) * NANOSECONDS)
        for time_ns in (start_ns, end_ns)
    ]
    return replace(
        report,
        copy_start_ns=copy_ns[0],
        copy_end_ns=copy_ns[1],
        speed=float(times.speed),
        offset_error_ms=1000 * item.piece.precision if item.piece else 0.0,
    )


def _row(
    request: Request,
    plan: MoviePlan,
    pieces: Sequence[DecodedPiece],
    report: MovieReport,
    wall_seconds: float,
) -> MovieRow:
    """The row of the movie, with times and drops of the original, without its numbers of clips."""
    movie = request.movie
    segments = [segment for piece in pieces for segment in piece.segments]
    cost = rows.Cost(1, sum(segment.cpu_seconds for segment in segments), wall_seconds)
    row = rows.movie_row(plan, cost, DroppedClips(), pieces[0].report)
    return replace(
        row,
        duration_ns=movie.duration_ns,
        # A lock counts them, but does not say which they are.
        drops=None,
        dropped_black=movie.dropped_black,
        dropped_silent=movie.dropped_silent,
        dropped_frozen=movie.dropped_frozen,
        dropped_too_short=movie.dropped_too_short + report.count("missing"),
        dropped_damaged=movie.dropped_damaged + report.count("poor_fit"),
        clips_not_chosen=movie.clips_not_chosen,
        **rows.decoding_columns(pieces[0].plan, segments),
    )
