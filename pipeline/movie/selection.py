"""Joins the picture and sound of a movie's clips, drops what is not worth keeping."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.audio import AudioClip
from pipeline.movie.frames import MovieFrames, VideoClip
from pipeline.plan import PlacedPlan
from shards_spec import layout
from shards_spec.order import stratified_order
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipRow

DropReason = Literal["too_short", "damaged", "black", "frozen", "silent"]


@dataclass(frozen=True)
class Clip:
    """A clip that is kept."""

    row: ClipRow
    audio: AudioClip


def drop_reason(video: VideoClip, audio: AudioClip, recipe: Recipe) -> DropReason | None:
    """The first rule that a clip falls to, or None when it stays."""
    if video.luma_mean < recipe.black_luma and video.luma_std < 5.0:
        return "black"
    if recipe.num_frames > 1 and video.motion < recipe.frozen_motion:
        return "frozen"
    if audio.rms_dbfs < recipe.silent_dbfs:
        return "silent"
    return None


def join_clips(
    plan: PlacedPlan,
    frames: MovieFrames,
    audio: Sequence[AudioClip],
) -> tuple[list[Clip], Counter[DropReason]]:
    """The clips that stay, in the order of their shards, and how many fell to each rule.

    Args:
        plan: with its clips and cuts, by `place_clips`.
        frames: all decoded frames.
        audio: all clips' sound.
    """
    sounds = {clip.clip_number: clip for clip in audio}
    dropped: Counter[DropReason] = Counter()
    if plan.num_short_shots:
        dropped["too_short"] = plan.num_short_shots
    kept: list[Clip] = []
    for clip_number in range(plan.first_clip, plan.end_clip):
        video, sound = frames.clip(clip_number), sounds.get(clip_number)
        if video is None or sound is None:
            dropped["too_short"] += 1
            continue
        if frames.is_damaged(clip_number):
            dropped["damaged"] += 1
            continue
        reason = drop_reason(video, sound, plan.recipe)
        if reason is None:
            kept.append(Clip(_row(plan, video, sound), sound))
        else:
            dropped[reason] += 1
    order = stratified_order(len(kept), order_seed(plan.recipe.seed, plan.movie.movie_id))
    return [kept[place] for place in order], dropped


def order_seed(seed: int, movie_id: str) -> int:
    """Seed of one movie's clip order: movies must not share one order."""
    digest = hashlib.sha256(f"{seed} {movie_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _row(plan: PlacedPlan, video: VideoClip, audio: AudioClip) -> ClipRow:
    recipe, movie = plan.recipe, plan.movie
    number = video.clip_number
    first_step = plan.clip_step(number)
    last_step = first_step + recipe.num_frames - 1
    shot, last_shot = np.searchsorted(plan.cuts, [first_step, last_step], side="right")
    return ClipRow(
        clip_id=layout.clip_id(movie.movie_id, number),
        movie_id=movie.movie_id,
        group=movie.group,
        shard="",
        tar_offset=0,
        tar_bytes=0,
        crc32c=0,
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
        shot_id=int(shot),
        num_cuts=int(last_shot - shot),
        luma_mean=_float32(video.luma_mean),
        luma_std=_float32(video.luma_std),
        motion=_float32(video.motion),
        audio_rms_dbfs=_float32(audio.rms_dbfs),
        audio_peak_dbfs=_float32(audio.peak_dbfs),
        filled_audio_ns=audio.filled_ns,
    )


def _float32(value: float) -> float:
    """Rounded to what the index stores, so that a clip's JSON and its index row are equal."""
    return float(np.float32(round(value, 4)))
