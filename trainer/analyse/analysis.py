"""All three properties of a corpus, and what they suggest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shards_spec.dataset.reader import Dataset, open_dataset
from trainer.analyse.advice import Advice, advise
from trainer.analyse.consistency import consistency
from trainer.analyse.descriptors import Description, describe_by_run, describe_plainly
from trainer.analyse.diversity import Diversity, diversity
from trainer.analyse.recurrence import GUARDS, Recurrence, recurrence
from trainer.runs.bucket import local_copy
from trainer.runs.folder import load_run
from trainer.runs.scoring.probes import ProbeResult

#: Values of k in the table of false negatives.
TABLE_CLIPS = (4, 8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Properties:
    """The three properties, by one description of the clips."""

    name: str
    """`statistics` or `features`."""
    consistency: dict[str, ProbeResult]
    diversity: Diversity | None
    recurrence: Recurrence | None

    @staticmethod
    def of(dataset: Dataset, description: Description) -> Properties:
        """Measure all of them."""
        return Properties(
            name=description.name,
            consistency=consistency(dataset, description),
            diversity=diversity(description),
            recurrence=recurrence(description),
        )

    def lines(self) -> list[str]:
        """For people."""
        by = "plain statistics" if self.name == "statistics" else "the run's features"
        lines = [f"By {by}:"]
        lines += [
            f"  consistency: the movie is identified from {name} in {probe.accuracy:.1%} of clips "
            f"(chance {probe.chance:.1%}, {probe.num_classes} movies)"
            for name, probe in self.consistency.items()
        ]
        if self.diversity:
            item = self.diversity
            lines.append(
                f"  diversity: a movie has {item.movie:.1f} effective clusters, as many clips of "
                f"the corpus {item.corpus:.1f} (of {item.num_clusters}); ratio {item.ratio:.2f}"
            )
        return [*lines, *self._recurrence_lines()]

    def _recurrence_lines(self) -> list[str]:
        found = self.recurrence
        if found is None:
            return ["  recurrence: no movie has two clips"]
        lines = [
            f"  recurrence: {share:.1%} of clips have a near-duplicate in {name} later in the "
            f"movie" + (f", after {wait:.0f} s (median)" if math.isfinite(wait) else "")
            for (name, share), wait in zip(
                found.returning.items(), found.return_seconds.values(), strict=True
            )
        ]
        lines += [
            f"    {_range(item.low_s, item.high_s):>13}: near-duplicates in video "
            f"{item.rates['video']:.1%}, in audio {item.rates['audio']:.1%}, in both "
            f"{item.rates['both']:.1%} of {item.num_pairs:,} pairs"
            for item in found.by_gap
        ]
        lines.append("    expected false negatives of a clip, by k and guard:")
        for guard in GUARDS:
            counts = "  ".join(
                f"k = {k}: {found.false_negatives(k, guard):.2f}" for k in TABLE_CLIPS
            )
            lines.append(f"      guard {guard:>2g} s: {counts}")
        return lines


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The result of the command."""

    data: str
    run: str
    """Empty without one."""
    num_movies: int
    num_clips: int
    """Clips that were described, of whole movies."""
    num_rows: int
    """Clips of the dataset."""
    properties: list[Properties]
    """By statistics, and by the features of the run."""
    advice: Advice

    def to_json(self) -> dict[str, Any]:
        """JSON values: what does not exist, and infinite times, are null."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    def lines(self) -> list[str]:
        """For people."""
        advice = self.advice
        return [
            f"{self.num_clips:,} of {self.num_rows:,} clips, of {self.num_movies:,} movies, in "
            f"{self.data}",
            *(line for item in self.properties for line in item.lines()),
            f"Suggested to begin with: {advice.flags()}",
            *(f"  - {reason}" for reason in advice.reasons),
        ]


def analyse(data: str | Sequence[str], run: str = "", *, max_clips: int = 0) -> Analysis:
    """Analyse a dataset, by statistics of its clips and, with a run, by its features.

    Args:
        data: URI of the dataset.
        run: run folder whose features to use as well; may be in a bucket.
        max_clips: how many clips to read at most; 0 for `MAX_CLIPS`.

    The advice is from the statistics, except that near-duplicates are judged by the run's features
    where there is a run: they recognize similar content better.
    Raises `InputError` when the dataset or the run cannot be used.
    """
    uri = data if isinstance(data, str) else data[0]
    dataset = open_dataset(uri)
    trained = None
    if run:
        with local_copy(run) as folder:
            trained = load_run(folder)
    plain = describe_plainly(dataset, max_clips) if max_clips else describe_plainly(dataset)
    properties = [Properties.of(dataset, plain)]
    if trained is not None:
        properties.append(Properties.of(dataset, describe_by_run(dataset, trained, plain)))
    counts = plain.clips.movie.bincount()
    counts = counts[counts > 0]
    last = properties[-1]
    return Analysis(
        data=dataset.storage.uri,
        run=run,
        num_movies=len(counts),
        num_clips=len(plain.clips.clip),
        num_rows=dataset.clips.num_rows,
        properties=properties,
        advice=advise(
            properties[0].consistency,
            last.diversity,
            last.recurrence,
            float(counts.double().median()),
        ),
    )


def _range(low_s: float, high_s: float) -> str:
    return f"{low_s:g} s or more" if math.isinf(high_s) else f"{low_s:g} to {high_s:g} s"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
