"""A dataset in numbers for its overview, computed once and a column at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.browser.catalog import Catalog, numbers
from shards_spec.dataset.browser.reasons import TREATMENTS, movie_flags
from shards_spec.dataset.inspection import Summary, summarize
from shards_spec.dataset.reader import Dataset
from shards_spec.recipe import NANOSECONDS

NUM_BINS = 40

#: Values of a column of text that are counted one by one; all others are counted together.
_MAX_VALUES = 20

#: How missing values are shown.
_LABELS = {"": "not stated", "und": "unknown (und)"}

_HOUR_NS = 3_600 * NANOSECONDS


@dataclass(frozen=True)
class Histogram:
    """How often values of a column fall into bins of equal width."""

    title: str
    unit: str
    edges: tuple[float, ...]
    """One more than there are bins."""
    counts: tuple[int, ...]
    """The first and the last bin also count all values beyond them."""
    median: float
    note: str = ""
    is_whole: bool = False
    """Whether values and edges are whole numbers; a bin then ends below its upper edge."""
    has_lower: bool = False
    """Whether the first bin counts values below it."""
    has_higher: bool = False
    """Whether the last bin counts values above it."""

    @property
    def total(self) -> int:
        """Number of values."""
        return sum(self.counts)


@dataclass(frozen=True)
class Counts:
    """How often each value of a column occurs, the most frequent first."""

    title: str
    noun: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Throughput:
    """How long the pipeline took, as far as the index records it."""

    cpu_hours: float
    """CPU time of ffmpeg over all attempts."""
    movie_hours_per_cpu_hour: float
    """0 if nothing was measured."""
    median_wall_seconds: float
    """From a movie's first task to its commit record."""
    num_retried: int
    """Movies that took more than one attempt."""


@dataclass(frozen=True)
class Overview:
    """Everything that the first page shows."""

    summary: Summary
    source_hours: float
    """Length of all movies with a known duration, those without clips included."""
    throughput: Throughput
    histograms: tuple[Histogram, ...]
    counts: tuple[Counts, ...]
    treated: tuple[tuple[str, str, int], ...]
    """What was done to movies: filter of the movie table, description, number of movies."""
    failure_counts: tuple[tuple[str, str, int], ...]
    """Status, error class, number of movies."""


def overview_of(catalog: Catalog) -> Overview:
    """All numbers of the overview; about 3 s for 5 million clips."""
    dataset = catalog.dataset
    movies = dataset.movies
    without = movies.filter(pc.not_equal(movies["status"], "done"))
    causes = without.group_by(["status", "error_class"]).aggregate([([], "count_all")])
    return Overview(
        summary=summarize(dataset),
        source_hours=float(numbers(movies, "duration_ns").sum()) / _HOUR_NS,
        throughput=_throughput(dataset),
        histograms=tuple(_histograms(dataset)),
        counts=tuple(_counts(dataset)),
        treated=tuple(_treated(catalog)),
        failure_counts=tuple(
            sorted(
                (row["status"], row["error_class"], row["count_all"]) for row in causes.to_pylist()
            )
        ),
    )


def _throughput(dataset: Dataset) -> Throughput:
    movies = dataset.movies.filter(pc.equal(dataset.movies["status"], "done"))
    cpu = numbers(movies, "decode_seconds")
    wall = numbers(movies, "wall_seconds")
    hours = float(numbers(movies, "duration_ns").sum()) / _HOUR_NS
    cpu_hours = float(cpu.sum()) / 3600
    return Throughput(
        cpu_hours=cpu_hours,
        movie_hours_per_cpu_hour=hours / cpu_hours if cpu_hours else 0.0,
        median_wall_seconds=float(np.median(wall)) if len(wall) else 0.0,
        num_retried=int((numbers(dataset.movies, "attempts") > 1).sum()),
    )


def _histograms(dataset: Dataset) -> list[Histogram]:
    clips, movies = dataset.clips, dataset.movies
    done = movies.filter(pc.equal(movies["status"], "done"))
    loudness = numbers(clips, "audio_rms_dbfs")
    motion = numbers(clips, "motion")
    shots = shot_lengths(dataset)
    high = _high(shots)
    return [
        histogram("Loudness of clips", "dBFS", loudness, -80.0, 0.0),
        histogram("Brightness of clips", "mean luma", numbers(clips, "luma_mean"), 0.0, 255.0),
        histogram("Motion in clips", "luma change per frame", motion, 0.0, _high(motion)),
        histogram(
            "Length of shots",
            "s",
            shots,
            0.0,
            high,
            "Estimated from the shot numbers of clips, so accurate to about one clip.",
        ),
        whole_histogram("Clips per movie", "clips", numbers(done, "num_clips")),
    ]


def histogram(
    title: str, unit: str, values: NDArray[np.generic], low: float, high: float, note: str = ""
) -> Histogram:
    """Counts in bins between `low` and `high`; values beyond are counted in the outer bins."""
    return _counted(title, unit, values, np.linspace(low, high, NUM_BINS + 1), note)


def whole_histogram(title: str, unit: str, values: NDArray[np.generic]) -> Histogram:
    """Counts of whole numbers in at most `NUM_BINS` bins of equal width."""
    low = int(np.min(values)) if len(values) else 0
    high = int(np.ceil(_high(values)))
    # Rare large values share a bin of their own.
    size = high - low + 1 + bool(len(values) and np.max(values) > high)
    step = -(-size // NUM_BINS)
    edges = low + step * np.arange(-(-size // step) + 1)
    return _counted(title, unit, values, edges, is_whole=True)


def _counted(
    title: str,
    unit: str,
    values: NDArray[np.generic],
    edges: NDArray[np.generic],
    note: str = "",
    is_whole: bool = False,
) -> Histogram:
    numbers = values.astype(np.float64)
    bins = edges.astype(np.float64)
    last = bins[-1] - 1 if is_whole else bins[-1]
    counts, _ = np.histogram(np.clip(numbers, bins[0], last), bins)
    return Histogram(
        title,
        unit,
        tuple(bins.tolist()),
        tuple(counts.tolist()),
        float(np.median(numbers)) if len(numbers) else 0.0,
        note,
        is_whole,
        bool((numbers < bins[0]).any()),
        bool((numbers > last).any()),
    )


def _high(values: NDArray[np.generic]) -> float:
    """Upper end of a histogram: the largest value, unless rare large values would stretch it."""
    if not len(values):
        return 1.0
    most, highest = (float(np.percentile(values.astype(np.float64), p)) for p in (99.0, 100.0))
    return max(highest if highest <= 1.25 * most else most, 1e-3)


def shot_lengths(dataset: Dataset) -> NDArray[np.float64]:
    """(num_shots,) seconds, estimated from where the shot number of successive clips changes.

    If it rises by more than one, the time in between is divided equally; if a dataset claims more
    shots than there are clips and cuts, each change counts once.
    """
    clips = dataset.clips
    if not clips.num_rows:
        return np.zeros(0)
    movie = clips["movie_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    start = numbers(clips, "start_ns")
    order = np.lexsort((start, movie))
    movie, start = movie[order], start[order]
    shot, end = numbers(clips, "shot_id")[order], numbers(clips, "end_ns")[order]
    is_first = np.append(True, (np.diff(movie) != 0) | (np.diff(shot) != 0))
    rows = np.flatnonzero(is_first)
    next_start = np.append(start[rows[1:]], 0)
    is_last = np.append(np.diff(movie[rows]) != 0, True)
    last_end = end[np.append(rows[1:] - 1, len(end) - 1)]
    length = np.where(is_last, last_end, next_start) - start[rows]
    num_shots = np.where(is_last, 1, np.append(np.diff(shot[rows]), 1))
    num_shots = np.where((num_shots < 1) | (num_shots > 1_000), 1, num_shots)
    repeats = num_shots if num_shots.sum() <= 4 * clips.num_rows else np.ones_like(num_shots)
    return np.asarray(np.repeat(length / num_shots, repeats) / NANOSECONDS)


def _counts(dataset: Dataset) -> list[Counts]:
    movies = dataset.movies
    done = movies.filter(pc.equal(movies["status"], "done"))
    heights = pc.cast(done["video_height"], "string")
    widths = pc.cast(done["video_width"], "string")
    columns = {
        "Audio languages": done["audio_language"],
        "Video codecs": done["video_codec"],
        "Audio codecs": done["audio_codec"],
        "Sizes of the video": pc.binary_join_element_wise(widths, heights, "x"),
        "Frame rates": done["avg_frame_rate"],
    }
    result = []
    for title, column in columns.items():
        pairs = [(_LABELS.get(name or "", name), number) for name, number in column_counts(column)]
        shown, rest = pairs[:_MAX_VALUES], pairs[_MAX_VALUES:]
        if rest:
            shown.append((f"{len(rest):,} others", sum(number for _, number in rest)))
        result.append(Counts(title, "movies", tuple(shown)))
    return result


def column_counts(column: object) -> list[tuple[str, int]]:
    """Values of a column of text and how often they occur, the most frequent first."""
    rows = pc.value_counts(column).to_pylist()
    return sorted(((row["values"], row["counts"]) for row in rows), key=lambda row: (-row[1], row))


def _treated(catalog: Catalog) -> list[tuple[str, str, int]]:
    flags = movie_flags(catalog)
    return [(name, TREATMENTS[name], int(flags[name].sum())) for name in TREATMENTS]
