"""Joins the video and audio of a movie's clips, and drops clips by rules."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.audio.clips import AudioClip
from pipeline.movie.frames import MovieFrames, VideoClip
from pipeline.plan.movie_plan import PlacedPlan
from shards_spec import layout
from shards_spec.order import stratified_order
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipContent
from shards_spec.schema.dropped import NO_CLIP, DroppedClips, sorted_drops

DropReason = Literal["too_short", "damaged", "black", "frozen", "silent"]


@dataclass(frozen=True)
class SelectedClip:
    """A clip that is kept. Only the writer gives it a position in a shard."""

    content: ClipContent
    audio: AudioClip


def drop_reason(video: VideoClip, audio: AudioClip, recipe: Recipe) -> DropReason | None:
    """The first rule that drops a clip, or None if it is kept."""
    if video.luma_mean < recipe.black_luma and video.luma_std < 5.0:
        return "black"
    if recipe.num_frames > 1 and video.motion < recipe.frozen_motion:
        return "frozen"
    if audio.rms_dbfs < recipe.silent_dbfs:
        return "silent"
    return None


def select_clips(
    plan: PlacedPlan,
    frames: MovieFrames,
    audio: Sequence[AudioClip],
) -> tuple[list[SelectedClip], DroppedClips]:
    """The clips that are kept, in shard order, and those that rules dropped.

    Args:
        plan: with its clips and cuts, by `place_clips`.
        frames: all decoded frames.
        audio: of all clips.
    """
    audio_clips = {clip.clip_number: clip for clip in audio}
    grid_ns = plan.recipe.grid_ns
    dropped: list[tuple[int, int, int, DropReason]] = [
        (NO_CLIP, grid_ns(first), grid_ns(end), "too_short") for first, end in plan.short_shots
    ]
    kept: list[SelectedClip] = []
    for number in plan.numbers:
        video, audio_clip = frames.clip(number), audio_clips.get(number)
        reason: DropReason | None
        if video is None or audio_clip is None:
            reason = "too_short"
        elif frames.is_damaged(number):
            reason = "damaged"
        else:
            reason = drop_reason(video, audio_clip, plan.recipe)
            if reason is None:
                kept.append(SelectedClip(_content(plan, video, audio_clip), audio_clip))
        if reason is not None:
            times = plan.clip_start_ns(number), plan.clip_end_ns(number)
            dropped.append((number, *times, reason))
    order = stratified_order(len(kept), order_seed(plan.recipe.seed, plan.movie.movie_id))
    return [kept[index] for index in order], sorted_drops(dropped)


def order_seed(seed: int, movie_id: str) -> int:
    """Seed of a movie's clip order; it differs between movies."""
    digest = hashlib.sha256(f"{seed} {movie_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _content(plan: PlacedPlan, video: VideoClip, audio: AudioClip) -> ClipContent:
    recipe, movie = plan.recipe, plan.movie
    number = video.clip_number
    first_step = plan.clip_step(number)
    last_step = first_step + recipe.num_frames - 1
    shot, last_shot = np.searchsorted(plan.cuts, [first_step, last_step], side="right")
    return ClipContent(
        clip_id=layout.clip_id(movie.movie_id, number),
        movie_id=movie.movie_id,
        group=movie.group,
        clip_number=number,
        start_ns=plan.clip_start_ns(number),
        end_ns=plan.clip_end_ns(number),
        first_frame_pts_ns=video.first_frame_pts_ns,
        num_frames=recipe.num_frames,
        fps=recipe.fps,
        height=plan.height,
        width=plan.width,
        sample_rate_hz=recipe.sample_rate_hz,
        num_audio_samples=audio.num_samples,
        av_skew_ns=audio.skew_ns,
        shot_id=plan.shot_id(number),
        num_cuts=int(last_shot - shot),
        luma_mean=_float32(video.luma_mean),
        luma_std=_float32(video.luma_std),
        motion=_float32(video.motion),
        audio_rms_dbfs=_float32(audio.rms_dbfs),
        audio_peak_dbfs=_float32(audio.peak_dbfs),
        filled_audio_ns=audio.filled_ns,
    )


def _float32(value: float) -> float:
    """Rounded to what the index stores, so that the clip's JSON and its index row are equal."""
    return float(np.float32(round(value, 4)))
