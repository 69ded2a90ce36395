"""The results of an evaluation, and what they were computed from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from shards_spec.dataset.reader import Dataset
from trainer.runs.evaluate.heldout import HeldoutRetrieval
from trainer.runs.scoring.clip_probes import ClipProbe
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.probes import ProbeResult
from trainer.runs.scoring.tags import TagProbe, TagResult


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All results of one evaluation."""

    data: str
    run: str
    steps_done: int
    retrieval: HeldoutRetrieval
    class_probe: dict[str, ProbeResult]
    """By modality; empty without labels or without held-out movies."""
    movie_probe: dict[str, ProbeResult]
    """By modality; empty with fewer than two movies of at least two clips."""
    tag_probe: dict[str, TagResult]
    """By modality; only of those with a table of tags."""
    notes: list[str]
    """What a reader must know to interpret the numbers."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**dataclasses.asdict(self), "within_movie_r1_over_chance": self.lifts()}

    def lifts(self) -> dict[str, float]:
        """Within-movie R@1 over chance, by direction; both are means over clips."""
        return {
            result.direction: result.over_clips.r1 / result.chance_over_clips.r1
            for result in self.retrieval.results
            if result.gallery == "within_movie"
        }

    def verdict(self) -> str:
        """The number that matters most, in one line."""
        parts = [
            f"{result.direction.replace('_', ' ')} {result.over_clips.r1:.3f}, "
            f"{self.lifts()[result.direction]:.1f} times chance ({result.chance_over_clips.r1:.3f})"
            for result in self.retrieval.results
            if result.gallery == "within_movie"
        ]
        kind = "held-out" if self.retrieval.is_heldout else "training"
        return f"within-movie R@1 on {kind} movies: {'; '.join(parts)}"

    def lines(self) -> list[str]:
        """A table for people."""
        lines = [*(f"note: {note}" for note in self.notes), *self.retrieval.lines()]
        for title, probes in (("class", self.class_probe), ("movie", self.movie_probe)):
            lines += [
                f"{title} probe on {name} features: {probe.accuracy:.3f} (chance "
                f"{probe.chance:.3f}; {probe.num_classes} classes, trained on "
                f"{probe.num_train_clips} clips, evaluated on {probe.num_eval_clips})"
                for name, probe in probes.items()
            ]
        lines += [
            f"tag probe on {name} features: mean average precision "
            f"{tags.mean_average_precision:.3f} (chance {tags.chance:.3f}; "
            f"{len(tags.average_precision)} labels)"
            for name, tags in self.tag_probe.items()
        ]
        return [*lines, self.verdict()]


@dataclass(frozen=True)
class Judgement:
    """An evaluation together with what it was computed from."""

    evaluation: Evaluation
    dataset: Dataset
    embedded: EmbeddedClips
    """The clips that were evaluated."""
    labels: list[str | None] | None
    """Of these clips; None without labels."""
    class_probe: dict[str, ClipProbe]
    """By modality, with the single answers."""
    movie_probe: dict[str, ClipProbe]
    tag_probe: dict[str, TagProbe]
