"""Finding the rows of a movie, of a clip and of a movie's copies in a large index."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.browser.labels import LabelCatalog
from shards_spec.dataset.browser.lookalikes import Lookalike, find_lookalikes
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.schema import ClipRow
from shards_spec.schema.duplicates import LINKED_KINDS, clip_ranges
from shards_spec.schema.tables import clip_rows

#: Two movies with equal values are the same one: source, part, audio track and program.
_COPY_COLUMNS = (
    "source_fingerprint",
    "source_bytes",
    "wanted_start_seconds",
    "wanted_end_seconds",
    "audio_track",
)


@dataclass(frozen=True)
class SharedSpan:
    """A span of a movie that another movie has, too, or that shows one color."""

    kind: str
    start_ns: int
    end_ns: int
    other: str
    """The other movie; empty if the span shows one color."""
    other_start_ns: int
    other_end_ns: int
    video_match: float
    audio_match: float

    @property
    def links(self) -> bool:
        """Whether the movies are the same in part: more than a logo."""
        return self.kind in LINKED_KINDS


@dataclass(frozen=True)
class Catalog:
    """A dataset with the positions of its movies, found once."""

    dataset: Dataset

    @cached_property
    def labels(self) -> LabelCatalog:
        """The labels and texts of its clips."""
        return LabelCatalog(self.dataset)

    @cached_property
    def movie_ids(self) -> list[str]:
        """Ids of all movies, in the order of the index."""
        ids: list[str] = self.dataset.movies["movie_id"].to_pylist()
        return ids

    @cached_property
    def _movie_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.movie_ids)}

    @cached_property
    def _clip_ranges(self) -> dict[str, tuple[int, int]]:
        """First and last (exclusive) row of each movie in the sorted table of clips."""
        clips = self.dataset.clips
        if not clips.num_rows:
            return {}
        runs = pc.run_end_encode(clips["movie_id"].combine_chunks())
        ends: list[int] = runs.run_ends.to_pylist()
        return dict(zip(runs.values.to_pylist(), zip([0, *ends], ends, strict=False), strict=True))

    def __contains__(self, movie_id: str) -> bool:
        """Whether the index has a movie."""
        return movie_id in self._movie_rows

    def movie(self, movie_id: str) -> dict[str, Any]:
        """A movie's row of the index. Raises `InputError` if there is none."""
        row = self._movie_rows.get(movie_id)
        if row is None:
            raise InputError(f"the dataset has no movie {movie_id!r}")
        values: dict[str, Any] = self.dataset.movies.slice(row, 1).to_pylist()[0]
        return values

    def clips_of(self, movie_id: str) -> pa.Table:
        """A movie's rows of the table of clips, in the order of time."""
        first, end = self._clip_ranges.get(movie_id, (0, 0))
        clips = self.dataset.clips.slice(first, end - first)
        return clips.take(pc.sort_indices(clips, [("start_ns", "ascending")]))

    @cached_property
    def dropped(self) -> pa.Table | None:
        """Clips that rules dropped, `DROPPED_SCHEMA`; None if only their numbers are known.

        A damaged table counts as none: pages then show what follows from the numbers, and
        `validate` reports the damage.
        """
        try:
            return self.dataset.dropped()
        except FormatError:
            return None

    @cached_property
    def _dropped_ranges(self) -> dict[str, tuple[int, int]]:
        return clip_ranges(self.dropped, self.movie_ids) if self.dropped is not None else {}

    def dropped_of(self, movie_id: str) -> pa.Table | None:
        """A movie's rows of that table, in the order of time."""
        first, end = self._dropped_ranges.get(movie_id, (0, 0))
        return None if self.dropped is None else self.dropped.slice(first, end - first)

    def clip(self, clip_id: str) -> ClipRow:
        """A clip's row of the index. Raises `InputError` if there is none."""
        first, end = self._clip_ranges.get(clip_id.rpartition("_")[0], (0, 0))
        clips = self.dataset.clips.slice(first, end - first)
        rows = clip_rows(clips.filter(pc.equal(clips["clip_id"], clip_id)))
        if not rows:
            raise InputError(f"the dataset has no clip {clip_id!r}")
        return rows[0]

    @cached_property
    def copies(self) -> dict[str, tuple[str, ...]]:
        """Movies with the same source, part and audio track as others: the ids of all of them."""
        movies = self.dataset.movies
        names = [name for name in _COPY_COLUMNS if name in movies.schema.names]
        columns = zip(*(movies[name].to_pylist() for name in names), strict=True)
        groups: dict[Any, list[str]] = defaultdict(list)
        for movie_id, key in zip(self.movie_ids, columns, strict=True):
            # Movies whose source could not be read have no fingerprint.
            if key[0]:
                groups[key].append(movie_id)
        return {name: tuple(group) for group in groups.values() if len(group) > 1 for name in group}

    @cached_property
    def lookalikes(self) -> tuple[Lookalike, ...]:
        """Pairs of movies that look and sound the same, apart from copies."""
        pairs = find_lookalikes(self.dataset)
        return tuple(pair for pair in pairs if pair.second not in self.copies.get(pair.first, ()))

    @cached_property
    def unconfirmed_lookalikes(self) -> tuple[Lookalike, ...]:
        """The pairs that a search for near-duplicates, if any, did not find."""
        found = {
            (name, span.other)
            for name, spans in self.spans_of.items()
            for span in spans
            if span.links
        }
        return tuple(pair for pair in self.lookalikes if (pair.first, pair.second) not in found)

    @cached_property
    def lookalikes_of(self) -> dict[str, list[Lookalike]]:
        """For each movie that looks and sounds like others: those pairs."""
        pairs: dict[str, list[Lookalike]] = defaultdict(list)
        for pair in self.lookalikes:
            pairs[pair.first].append(pair)
            pairs[pair.second].append(pair)
        return dict(pairs)

    @cached_property
    def spans_of(self) -> dict[str, list[SharedSpan]]:
        """For each movie, its spans of the table of near-duplicates, in the order of that table."""
        spans: dict[str, list[SharedSpan]] = defaultdict(list)
        duplicates = self.dataset.duplicates
        for row in duplicates.to_pylist() if duplicates is not None else ():
            one, other = ((row[f"{side}start_ns"], row[f"{side}end_ns"]) for side in ("", "other_"))
            match = row["video_match"], row["audio_match"]
            names = row["movie_id"], row["other_movie_id"]
            spans[names[0]].append(SharedSpan(row["kind"], *one, names[1], *other, *match))
            if names[1]:
                spans[names[1]].append(SharedSpan(row["kind"], *other, names[0], *one, *match))
        return dict(spans)

    @cached_property
    def shared_lengths(self) -> dict[tuple[str, str, str], list[int]]:
        """By kind, first and second movie: lengths in the first of what both contain, ns."""
        lengths: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for name in self.movie_ids:
            for span in self.spans_of.get(name, ()):
                if span.other > name:
                    lengths[span.kind, name, span.other].append(span.end_ns - span.start_ns)
        return dict(lengths)

    def same_as(self, movie_id: str) -> list[str]:
        """Other movies with the same source, then those that look and sound the same."""
        others = [name for name in self.copies.get(movie_id, ()) if name != movie_id]
        others += [pair.other(movie_id) for pair in self.lookalikes_of.get(movie_id, ())]
        others += [span.other for span in self.spans_of.get(movie_id, ()) if span.links]
        return list(dict.fromkeys(others))

    @cached_property
    def copy_groups(self) -> list[tuple[str, ...]]:
        """Each group of copies once."""
        return sorted(set(self.copies.values()))


def numbers(table: pa.Table, column: str) -> NDArray[Any]:
    """A numeric column as an array."""
    return np.asarray(table[column].to_numpy())
