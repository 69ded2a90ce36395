"""Hears all clips of a dataset, and says what is when.

A patch of 0.96 s is judged every 0.48 s. What is heard in it counts for its middle; the first and
the last patch of a clip also count for the clip's ends.

    clip      |-----------------------------------------------------|
    patches   |--- 0 ---|    |--- 2 ---|         |---- last ---|
    cells     |-- 0 --|-1-|-2-|-3-| ...            ... |-- last ----|
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from pipeline.tags.judge import PATCH_FRAMES, Judge
from pipeline.tags.sounds import FRAMES_PER_SECOND, Sound, sound_of_clip
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import PackedRanges
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.reader import Dataset, Movie
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.recipe import NANOSECONDS
from shards_spec.sample import check_crc32c, split_members
from shards_spec.schema import ClipRow
from shards_spec.schema.tables import clip_rows

SILENCE = "silence"

#: Frames from a patch to the next.
PATCH_HOP = 48

#: Movies that are read at the same time, and bytes per request.
_THREADS, _READ_BYTES = 4, 16 * 1024 * 1024

_FRAME_NS = NANOSECONDS // FRAMES_PER_SECOND


@dataclass(frozen=True)
class Tagging:
    """What was heard."""

    ranges: PackedRanges
    """In the order of movies, then of time; equal labels of neighboring clips are one range."""
    findings: Findings
    """Clips that could not be read."""


@dataclass(frozen=True)
class Cell:
    """Frames for which something is heard."""

    first: int
    end: int
    """Exclusive; the last cell of a clip ends with the clip."""
    labels: tuple[str, ...]


def tag_clips(dataset: Dataset, judge: Judge | None, silence_dbfs: float) -> Tagging:
    """Hear all clips of a dataset.

    Args:
        judge: says what is speech and music; None to look for silence only.
        silence_dbfs: below this level, it is silent.
    """
    findings = Findings()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="tags") as pool:
        heard = pool.map(lambda movie: _hear(dataset, movie, judge, silence_dbfs), dataset)
        ranges = PackedRanges()
        for of_movie, problems in heard:
            ranges.extend(of_movie)
            findings.extend(problems)
    return Tagging(ranges, findings)


def cells_of(sound: Sound, judge: Judge | None, silence_dbfs: float) -> Iterator[Cell]:
    """What is heard from the start of a clip to its end."""
    num_frames = len(sound.magnitudes)
    last = max(0, num_frames - PATCH_FRAMES)
    starts = [*range(0, last, PATCH_HOP), last]
    # Cells meet halfway between the middles of neighboring patches.
    edges = [(a + b + PATCH_FRAMES) // 2 for a, b in pairwise(starts)]
    for start, first, end in zip(starts, [0, *edges], [*edges, num_frames], strict=True):
        if sound.level_dbfs(first, end) < silence_dbfs:
            yield Cell(first, end, (SILENCE,))
        elif judge is not None:
            yield Cell(first, end, judge.score(sound, start).labels)


def _hear(
    dataset: Dataset, movie: Movie, judge: Judge | None, silence_dbfs: float
) -> tuple[list[LabeledRange], Findings]:
    findings = Findings()
    found: list[LabeledRange] = []
    for row, data in _clips(dataset, movie.clips, findings):
        try:
            check_crc32c(data, row)
            sound = sound_of_clip(split_members(data)[row.clip_id], dataset.recipe)
        except (FormatError, KeyError) as error:
            findings.add("unreadable", f"clip {row.clip_id}: {error}")
            continue
        num_frames = len(sound.magnitudes)
        for cell in cells_of(sound, judge, silence_dbfs):
            start_ns = row.start_ns + cell.first * _FRAME_NS
            end_ns = row.start_ns + cell.end * _FRAME_NS
            end_ns = row.end_ns if cell.end == num_frames else min(end_ns, row.end_ns)
            if start_ns < end_ns:
                span = row.movie_id, start_ns, end_ns
                found += [LabeledRange(*span, label, None) for label in cell.labels]
    return _joined(found), findings


def _joined(found: Sequence[LabeledRange]) -> list[LabeledRange]:
    """Ranges in the order of time; equal labels that touch are one range."""
    by_label: dict[str | None, list[LabeledRange]] = defaultdict(list)
    for item in sorted(found, key=lambda item: item.start_ns):
        same = by_label[item.label]
        if same and item.start_ns <= same[-1].end_ns:
            before = same.pop()
            end_ns = max(before.end_ns, item.end_ns)
            item = LabeledRange(item.movie_id, before.start_ns, end_ns, item.label, None)
        same.append(item)
    joined = [item for same in by_label.values() for item in same]
    return sorted(joined, key=lambda item: (item.start_ns, item.label or ""))


def _clips(
    dataset: Dataset, clips: pa.Table, findings: Findings
) -> Iterator[tuple[ClipRow, memoryview]]:
    """The bytes of all clips of a movie, read in the order in which they are stored."""
    rows = clip_rows(clips)
    first = 0
    while first < len(rows):
        end, num_bytes = first, 0
        while end < len(rows) and rows[end].shard == rows[first].shard:
            if end > first and num_bytes + rows[end].tar_bytes > _READ_BYTES:
                break
            num_bytes += rows[end].tar_bytes
            end += 1
        batch, first = rows[first:end], end
        start = batch[0].tar_offset
        try:
            data = dataset.storage.get_range(batch[0].shard, start, num_bytes)
        except ObjectNotFoundError as error:
            findings.add("unreadable", str(error), len(batch))
            continue
        for row in batch:
            offset = row.tar_offset - start
            yield row, memoryview(data)[offset : offset + row.tar_bytes]
