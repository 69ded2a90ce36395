"""What happened along one movie: kept and dropped clips, shots, filled audio.

The index has a row for each kept clip and, since `index/dropped.parquet`, one for each dropped clip
with its reason. Of older movies it only has how many clips each rule dropped: then which ones were
dropped follows from the numbers that are missing, among those that the recipe chooses if it wants
only some clips; and which rule dropped a clip is only known if the counts leave one possibility.
Otherwise all possible rules are listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards_spec.dataset.browser.catalog import numbers
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.schema.dropped import DROP_REASONS, NO_CLIP, REBUILD_REASONS

#: More clips than that of a movie are not looked at one by one.
_MAX_CHOSEN = 1 << 17


@dataclass(frozen=True)
class KeptRun:
    """Consecutive kept clips."""

    start_ns: int
    end_ns: int
    first_row: int
    """Row in the movie's table of clips, in the order of time."""
    num_clips: int


@dataclass(frozen=True)
class DroppedRun:
    """Consecutive dropped clips."""

    start_ns: int
    end_ns: int
    num_clips: int
    reasons: tuple[str, ...]
    """The rules that may have dropped them: one if it is certain."""
    is_shot: bool = False
    """Whether it is a shot that is too short for a clip."""


@dataclass(frozen=True)
class ShotRun:
    """Kept clips that begin in the same shot."""

    start_ns: int
    end_ns: int
    shot_id: int


@dataclass(frozen=True)
class FilledRun:
    """A run of consecutive kept clips with filled audio."""

    start_ns: int
    end_ns: int
    filled_ns: int
    """How much of their audio is silence that was filled in."""


@dataclass(frozen=True)
class Timeline:
    """One movie from start to end, nanoseconds on the movie timeline."""

    duration_ns: int
    kept: tuple[KeptRun, ...]
    dropped: tuple[DroppedRun, ...]
    shots: tuple[ShotRun, ...]
    filled: tuple[FilledRun, ...]
    drops: Mapping[str, int]
    """Dropped clips by rule, as the index counts them; only rules that dropped any."""
    num_short_shots: int
    """Dropped clips without a position: shots that were shorter than a clip."""


def timeline_of(
    movie: Mapping[str, Any], clips: pa.Table, recipe: Recipe, listed: pa.Table | None = None
) -> Timeline:
    """The timeline of a movie from its row and its clips in the order of time.

    `listed` are its rows of the table of dropped clips, `DROPPED_SCHEMA`; they count only if there
    are as many for each reason as the movie's row says.
    """
    number, start, end = (numbers(clips, name) for name in ("clip_number", "start_ns", "end_ns"))
    drops = {name: int(movie.get(f"dropped_{name}") or 0) for name in DROP_REASONS}
    drops = {name: value for name, value in drops.items() if value > 0}
    if listed is not None:
        # Clips that could not be rebuilt are not counted in the movie's row.
        drops |= {
            k: n for k, n in Counter(listed["reason"].to_pylist()).items() if k in REBUILD_REASONS
        }
    is_uniform = recipe.clips == "uniform" and recipe.fingerprint == movie["recipe_fingerprint"]
    breaks = np.flatnonzero(np.diff(number) != 1) + 1 if len(number) else np.zeros(0, np.int64)
    dropped = _listed_runs(listed, drops)
    if dropped is None:
        if int(movie.get("clips_not_chosen") or 0):
            gaps = _chosen_gaps(movie, number, recipe, drops) if is_uniform else []
        else:
            gaps = _gaps(movie, number, start, end, breaks, recipe, is_uniform, sum(drops.values()))
        dropped = _with_reasons(gaps, drops, is_uniform)
    num_found = sum(run.num_clips for run in dropped)
    duration = max(int(movie["duration_ns"]), int(end.max(initial=0)))
    return Timeline(
        duration_ns=duration,
        kept=tuple(_kept(start, end, breaks)),
        dropped=tuple(dropped),
        shots=tuple(_shots(numbers(clips, "shot_id"), start, end)),
        filled=tuple(_filled(numbers(clips, "filled_audio_ns"), start, end)),
        drops=drops,
        num_short_shots=max(0, sum(drops.values()) - num_found),
    )


def _listed_runs(listed: pa.Table | None, drops: Mapping[str, int]) -> list[DroppedRun] | None:
    """Consecutive clips that one rule dropped; None if the list is not that of `drops`."""
    if listed is None or Counter(listed["reason"].to_pylist()) != drops:
        return None
    runs: list[DroppedRun] = []
    previous = NO_CLIP
    columns = (listed[name].to_pylist() for name in ("clip_number", "start_ns", "end_ns", "reason"))
    for number, start_ns, end_ns, reason in zip(*columns, strict=True):
        last = runs[-1] if runs else DroppedRun(0, 0, 0, ())
        is_next = NO_CLIP < previous == number - 1 and start_ns <= last.end_ns
        if is_next and last.reasons == (reason,):
            runs[-1] = replace(last, end_ns=end_ns, num_clips=last.num_clips + 1)
        else:
            runs.append(DroppedRun(start_ns, end_ns, 1, (reason,), is_shot=number == NO_CLIP))
        previous = number
    return runs


@dataclass(frozen=True)
class _Gap:
    start_ns: int
    end_ns: int
    num_clips: int
    is_at_end: bool


def _gaps(
    movie: Mapping[str, Any],
    number: NDArray[Any],
    start: NDArray[Any],
    end: NDArray[Any],
    breaks: NDArray[np.int64],
    recipe: Recipe,
    is_uniform: bool,
    num_dropped: int,
) -> list[_Gap]:
    """Runs of missing clip numbers, in the order of time, of at most `num_dropped` clips."""

    def at(first: int, last: int) -> tuple[int, int]:
        stride = recipe.stride_frames
        return recipe.grid_ns(first * stride), recipe.grid_ns(last * stride + recipe.num_frames)

    gaps, remaining = [], num_dropped
    if not len(number):
        if is_uniform and num_dropped:
            first = _first_number(movie, recipe)
            gaps.append(_Gap(*at(first, first + num_dropped - 1), num_dropped, True))
        return gaps
    lead = int(number[0]) - (_first_number(movie, recipe) if is_uniform else 0)
    if 0 < lead <= remaining:
        last = int(number[0]) - 1
        times = at(last - lead + 1, last) if is_uniform else (0, int(start[0]))
        gaps.append(_Gap(*times, lead, False))
        remaining -= lead
    for row in breaks.tolist():
        before, after = int(number[row - 1]), int(number[row])
        length = after - before - 1
        if not 0 < length <= remaining:
            continue
        times = at(before + 1, after - 1) if is_uniform else (int(end[row - 1]), int(start[row]))
        gaps.append(_Gap(*times, length, False))
        remaining -= length
    if is_uniform and remaining:
        last = int(number[-1])
        gaps.append(_Gap(*at(last + 1, last + remaining), remaining, True))
    return gaps


def _chosen_gaps(
    movie: Mapping[str, Any], number: NDArray[Any], recipe: Recipe, drops: Mapping[str, int]
) -> list[_Gap]:
    """Missing clips among the chosen ones, one by one; none if there are impossibly many."""
    num_made = len(number) + sum(drops.values())
    num_all = num_made + int(movie["clips_not_chosen"])
    if num_made > _MAX_CHOSEN or recipe.num_chosen(num_all) != num_made:
        return []
    first, stride = _first_number(movie, recipe), recipe.stride_frames
    chosen = [first + at for at in recipe.chosen_clips(str(movie["movie_id"]), num_all)]
    missing = sorted(set(chosen) - set(number.tolist()))
    starts = [clip * stride for clip in missing]
    times = [(recipe.grid_ns(step), recipe.grid_ns(step + recipe.num_frames)) for step in starts]
    return [_Gap(*span, 1, clip == chosen[-1]) for clip, span in zip(missing, times, strict=True)]


def _first_number(movie: Mapping[str, Any], recipe: Recipe) -> int:
    """Number of the first clip of the part that was requested."""
    start_ns = round(float(movie["wanted_start_seconds"]) * NANOSECONDS)
    stride_ns = max(1, recipe.grid_ns(recipe.stride_frames))
    return max(0, -(-start_ns // stride_ns))


def _with_reasons(gaps: list[_Gap], drops: dict[str, int], is_uniform: bool) -> list[DroppedRun]:
    """Gaps with the rules that the movie's counts allow.

    On a uniform grid only the last clips can be too short.
    """
    runs = []
    others = tuple(name for name in drops if name != "too_short")
    num_short = drops.get("too_short", 0)
    for gap in gaps:
        if not others or not num_short:
            reasons = others or ("too_short",)
        elif not is_uniform:
            # Shots that are too short for a clip have no number, so nothing is missing for them.
            reasons = others
        elif gap.is_at_end and gap.num_clips > num_short:
            length = (gap.end_ns - gap.start_ns) // gap.num_clips
            split = gap.end_ns - num_short * length
            runs.append(DroppedRun(gap.start_ns, split, gap.num_clips - num_short, others))
            runs.append(DroppedRun(split, gap.end_ns, num_short, ("too_short",)))
            continue
        else:
            reasons = ("too_short",) if gap.is_at_end else others
        runs.append(DroppedRun(gap.start_ns, gap.end_ns, gap.num_clips, reasons))
    return runs


def _kept(start: NDArray[Any], end: NDArray[Any], breaks: NDArray[np.int64]) -> list[KeptRun]:
    firsts = [0, *breaks.tolist()] if len(start) else []
    lasts = [*breaks.tolist(), len(start)] if len(start) else []
    return [
        KeptRun(int(start[first]), int(end[last - 1]), first, last - first)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _shots(shot: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> list[ShotRun]:
    if not len(shot):
        return []
    firsts = np.append(0, np.flatnonzero(np.diff(shot)) + 1)
    # A shot is drawn up to the first clip of the next one, but not across dropped clips.
    runs = []
    for first, last in zip(firsts.tolist(), [*firsts[1:].tolist(), len(shot)], strict=True):
        runs.append(ShotRun(int(start[first]), int(end[last - 1]), int(shot[first])))
    return runs


def _filled(filled: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> list[FilledRun]:
    rows = np.flatnonzero(filled > 0)
    if not len(rows):
        return []
    runs = []
    # A run contains neither dropped clips nor kept ones without filled audio.
    is_apart = (np.diff(rows) != 1) | (start[rows[1:]] > end[rows[:-1]])
    for part in np.split(rows, np.flatnonzero(is_apart) + 1):
        first, last = int(part[0]), int(part[-1])
        runs.append(FilledRun(int(start[first]), int(end[last]), int(filled[part].sum())))
    return runs
