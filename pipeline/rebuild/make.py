"""Makes the clips of one movie from its copies, in the order of the lock, and commits them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import MovieError
from pipeline.ffmpeg import reaper
from pipeline.limits import Limits
from pipeline.movie import steps
from pipeline.movie.spool import Spool, open_spool
from pipeline.plan.movie_plan import MoviePlan
from pipeline.probe.tracks.audio_track import NO_AUDIO
from pipeline.rebuild.decode import DecodedPiece, Request, decode_piece
from pipeline.rebuild.fit import Fit, Missing, Source, clips_of, fit_of
from pipeline.rebuild.report import ClipReport, MovieReport, write_report
from pipeline.rebuild.retime import SEGMENT_SECONDS, with_size
from pipeline.rebuild.rows import clip_content, clip_report, failed_movie, made_movie
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint
from shards_spec import layout
from shards_spec.dataset.fingerprints.compute import strip_luma
from shards_spec.dataset.index import write_commit
from shards_spec.dataset.lockfile.lock import LockedMovie
from shards_spec.dataset.lockfile.words import strip_words
from shards_spec.dataset.writer import MovieWriter
from shards_spec.sample import FRAMES
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

_OUTSIDE = "the copy begins later or ends earlier"
_NO_FRAMES = "the copy has not all of its frames"
_DAMAGED = "the copy is damaged here"


def shard_keys(movie_id: str, first: int, count: int) -> list[str]:
    """Keys of consecutive shards."""
    return [layout.shard_key(movie_id, number) for number in range(first, first + count)]


@dataclass(frozen=True, eq=False)
class _Decoded:
    """What was decoded from the copies of a movie."""

    plan: MoviePlan
    """Of the best copy."""
    found: dict[int, Source | Missing]
    """By the clip's row in the locked movie."""
    pieces: list[DecodedPiece]

    def piece_of(self, clip_number: int) -> DecodedPiece | None:
        """The piece that contains a clip; None if none does."""
        return next((p for p in self.pieces if clip_number in p.audio), None)


def make_movie(
    request: Request,
    storage: Storage,
    limits: Limits,
    num_threads: int = 1,
    earlier: MovieRow | None = None,
) -> MovieReport | None:
    """Write the shards, the report and the commit record of one movie.

    If its copies contain none of its clips, no shards are written, and the record marks the movie
    as failed. Shards of an earlier rebuild are never overwritten: new ones get higher numbers.

    Returns None, and keeps the result of an `earlier` rebuild, if that has at least as many clips.

    Raises `MovieError` if no copy can be decoded, or if one changes during the rebuild.
    """
    lock, movie = request.lock, request.movie
    began = time.monotonic()
    with reaper.own_folder() as folder, open_spool() as spool:
        decoded = _decode(request, spool, limits, num_threads)
        first_shard = _first_shard(movie, earlier)
        with MovieWriter(
            storage,
            movie.movie_id,
            lock.recipe.shard_bytes,
            first_shard=first_shard,
            folder=folder,
        ) as writer:
            clips = _write_clips(request, decoded, writer)
        if earlier is not None and len(writer.rows) <= earlier.num_clips > 0:
            for key in shard_keys(movie.movie_id, first_shard, writer.num_shards):
                storage.delete(key)
            return None
        report = _report(request, clips)
        write_report(storage, report, lock.digest)
        if writer.rows:
            seconds = time.monotonic() - began
            row = replace(
                made_movie(request, decoded.plan, decoded.pieces, report, seconds),
                num_clips=len(writer.rows),
                num_shards=writer.num_shards,
                shard_bytes=writer.num_bytes,
                first_shard=first_shard,
            )
        else:
            row = failed_movie(lock, movie, report)
        write_commit(storage, row, writer.rows)
    return report


def _first_shard(movie: LockedMovie, earlier: MovieRow | None) -> int:
    """Number of the first shard: after those of an earlier rebuild, which stay as they are."""
    first = int(movie.clips.shard.min())
    if earlier is not None and earlier.num_shards:
        first = max(first, earlier.first_shard + earlier.num_shards)
    return first


def _report(request: Request, clips: tuple[ClipReport, ...]) -> MovieReport:
    """The report of a movie, with the names of all copies that it was made from."""
    names = dict.fromkeys(clip.copy_name for clip in clips if clip.copy_name)
    copy_name = ", ".join(names) or request.matches[0].copy.name
    movie = request.movie
    return MovieReport(movie.movie_id, movie.source_name, copy_name, "", clips)


def _decode(request: Request, spool: Spool, limits: Limits, num_threads: int) -> _Decoded:
    """Decode each clip from the best copy that contains it."""
    plans: list[MoviePlan] = []
    found: dict[int, Source | Missing] = {}
    pieces: list[DecodedPiece] = []
    problems: list[MovieError] = []
    num_groups = 0
    for match in request.matches:
        todo = [
            item
            for item in clips_of(request.lock, request.movie, match)
            if not isinstance(found.get(item.row), Source)
        ]
        try:
            with open_source(match.copy, fingerprint(match.copy), limits=limits) as source:
                plan = steps.prepare(
                    match.copy,
                    source,
                    request.lock.recipe,
                    SEGMENT_SECONDS,
                    needs_audio=match.by != "video",
                )
                if match.alignment is not None:
                    plan = with_size(plan, request.movie.height, request.movie.width)
                for number, group in enumerate(_groups(todo), start=num_groups):
                    piece = decode_piece(
                        request, match, plan, source, spool, group, number, num_threads
                    )
                    num_groups = number + 1
                    pieces += [piece] if piece is not None else []
        except MovieError as error:
            problems.append(error)
            continue
        plans.append(plan)
        found |= {item.row: item for item in todo if item.row not in found or _is_source(item)}
    if not plans:
        raise problems[0]
    return _Decoded(plans[0], found, pieces)


def _is_source(item: Source | Missing) -> bool:
    return isinstance(item, Source)


def _groups(found: Sequence[Source | Missing]) -> list[list[Source]]:
    """Clips to decode together: those of one piece."""
    groups: dict[int, list[Source]] = {}
    for item in found:
        if isinstance(item, Source):
            groups.setdefault(id(item.piece), []).append(item)
    return list(groups.values())


def _write_clips(
    request: Request, decoded: _Decoded, writer: MovieWriter
) -> tuple[ClipReport, ...]:
    """Write the clips that fit, in the order of the lock; returns all reports, sorted by time."""
    lock, movie = request.lock, request.movie
    reports = {}
    for row, item in sorted(decoded.found.items()):
        piece = decoded.piece_of(int(movie.clips.clip_number[row]))
        if isinstance(item, Missing):
            fit = Fit("missing", item.reason, None, None)
            reports[row] = clip_report(lock, movie, row, fit)
        elif piece is None:
            reports[row] = clip_report(lock, movie, row, Fit("missing", _OUTSIDE, None, None))
        else:
            before = len(writer.rows)
            fit = _write_clip(request, item, piece, writer)
            is_written = len(writer.rows) > before
            reports[row] = clip_report(lock, movie, row, fit, item, piece, in_dataset=is_written)
    return tuple(sorted(reports.values(), key=lambda report: (report.start_ns, report.clip_id)))


def _write_clip(request: Request, item: Source, piece: DecodedPiece, writer: MovieWriter) -> Fit:
    """Write a clip if it fits; returns how well it does."""
    movie, row = request.movie, item.row
    number = int(movie.clips.clip_number[row])
    video, stored = piece.frames.clip(number), piece.audio[number]
    if video is None or piece.frames.is_damaged(number):
        return Fit("missing", _NO_FRAMES if video is None else _DAMAGED, None, None)
    content = clip_content(request, item, piece, video, stored.audio)
    strip = piece.frames.strip(number)
    has_audio = piece.plan.probe.audio != NO_AUDIO
    fit = fit_of(
        movie,
        item,
        stored.audio.words if has_audio else None,
        strip_words(strip_luma(strip, content)),
        min_fit=request.min_fit,
        by_video=piece.match.by == "video",
    )
    is_kept = request.keep_other_audio and has_audio and stored.audio.words.any()
    if fit.status != "aligned" and not (fit.status == "other_audio" and is_kept):
        return fit
    writer.add(content, {FRAMES: strip, **stored.members()})
    is_same = writer.rows[-1].crc32c == int(movie.clips.crc32c[row])
    return Fit("identical", "", fit.audio_fit, fit.frame_fit) if is_same else fit
