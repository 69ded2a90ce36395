"""What a run has learnt, judged on movies that it did not train on.

    retrieval      from one view of a clip find the other: within its movie, and among all clips
    class probe    does a feature know what is shown? A linear probe, fitted on training movies
    movie probe    does a feature know which movie it is from? That is look and score, not meaning

Every figure stands beside chance. Probes read the towers' features, before the heads.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shards_spec.reader import Dataset, open_dataset
from trainer.evaluate.heldout import (
    EmbeddedClips,
    HeldoutRetrieval,
    embed_clips,
    evaluation_index,
    retrieve,
)
from trainer.evaluate.labels import labeller
from trainer.evaluate.probes import ProbeResult, linear_probe
from trainer.plan import ClipIndex
from trainer.ranks import default_device
from trainer.run import TrainedRun, load_run

MODALITIES = ("video", "audio")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures of one evaluation."""

    data: str
    run: str
    steps_done: int
    retrieval: HeldoutRetrieval
    class_probe: dict[str, ProbeResult]
    """By modality; empty without labels or without held-out movies."""
    movie_probe: dict[str, ProbeResult]
    """By modality; empty with fewer than two movies of at least two clips."""
    notes: list[str]
    """What a reader must know to read the figures rightly."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "within_movie_r1_over_chance": self.lifts()}

    def to_text(self) -> str:
        """The same as indented JSON."""
        return json.dumps(self.to_json(), indent=2)

    def lifts(self) -> dict[str, float]:
        """Within-movie R@1 over chance, by direction; both are means over clips."""
        return {
            one.direction: one.over_clips.r1 / one.chance_over_clips.r1
            for one in self.retrieval.results
            if one.gallery == "within_movie"
        }

    def verdict(self) -> str:
        """The figure that the whole project is about, in one line."""
        words = [
            f"{one.direction.replace('_', ' ')} {one.over_clips.r1:.3f}, "
            f"{self.lifts()[one.direction]:.1f} times chance ({one.chance_over_clips.r1:.3f})"
            for one in self.retrieval.results
            if one.gallery == "within_movie"
        ]
        kind = "held-out" if self.retrieval.is_heldout else "training"
        return f"within-movie R@1 on {kind} movies: {'; '.join(words)}"

    def lines(self) -> list[str]:
        """A table for people."""
        lines = [*(f"note: {note}" for note in self.notes), *self.retrieval.lines()]
        for title, probes in (("class", self.class_probe), ("movie", self.movie_probe)):
            lines += [
                f"{title} probe on {name} features: {probe.accuracy:.3f} (chance "
                f"{probe.chance:.3f}; {probe.num_classes} classes, fitted on {probe.num_fitted} "
                f"clips, judged on {probe.num_judged})"
                for name, probe in probes.items()
            ]
        return [*lines, self.verdict()]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An evaluation, and what it was made from."""

    evaluation: Evaluation
    trained: TrainedRun
    dataset: Dataset
    embedded: EmbeddedClips
    """The clips that were judged."""
    labels: list[str | None] | None
    """Of these clips; None without a table of labels."""


def evaluate(
    data: str, run: Path, labels: Path | None = None, label_column: str = ""
) -> Evaluation:
    """Judge the newest checkpoint of a run.

    Args:
        data: URI of the dataset.
        run: folder of the run.
        labels: table of what is shown when, for the class probe; see `trainer/labels.py`.
        label_column: column of the index of clips that is the class instead.

    Raises `InputError` when the run, the dataset or the labels cannot be used.
    """
    return judge(data, run, labels, label_column).evaluation


def judge(data: str, run: Path, labels: Path | None = None, label_column: str = "") -> Judgement:
    """As `evaluate`, and hands over what the figures were made from."""
    trained, dataset, device = load_run(run), open_dataset(data), default_device()
    # A table that cannot be used should say so before the clips are embedded, not after.
    label = labeller(dataset, labels, label_column)
    trained.model.to(device)
    index, is_heldout = evaluation_index(dataset, trained.config)
    judged = embed_clips(trained.model, dataset, index.row, trained.config, device)
    judged_labels = label(judged.clip.tolist()) if label else None
    class_probe: dict[str, ProbeResult] = {}
    notes = _notes(trained, dataset, is_heldout)
    if label and judged_labels is not None and is_heldout:
        train_index = ClipIndex.from_dataset(dataset, trained.config.policy)
        fitted = embed_clips(trained.model, dataset, train_index.row, trained.config, device)
        fitted_labels = label(fitted.clip.tolist())
        class_probe = class_probes(fitted, fitted_labels, judged, judged_labels)
        num_bare = [*fitted_labels, *judged_labels].count(None)
        notes += [f"{num_bare} clips have no label; the class probe left them out"] * bool(num_bare)
        if not class_probe:
            notes.append("no class probe: no labelled clips in training or in held-out movies")
    elif label:
        notes.append("no class probe: it needs held-out movies, and this run held none out")
    evaluation = Evaluation(
        data=dataset.storage.uri,
        run=str(run),
        steps_done=trained.steps_done,
        retrieval=retrieve(judged, is_heldout=is_heldout),
        class_probe=class_probe,
        movie_probe=movie_probes(dataset, judged),
        notes=notes,
    )
    return Judgement(
        evaluation=evaluation,
        trained=trained,
        dataset=dataset,
        embedded=judged,
        labels=judged_labels,
    )


def class_probes(
    fitted: EmbeddedClips,
    fitted_labels: list[str | None],
    judged: EmbeddedClips,
    judged_labels: list[str | None],
) -> dict[str, ProbeResult]:
    """A probe of each modality, on the labelled clips; none where a side has no labelled clip."""
    names = sorted({label for label in (*fitted_labels, *judged_labels) if label is not None})
    number = {name: place for place, name in enumerate(names)}
    fit_rows, judge_rows = (
        torch.tensor([i for i, label in enumerate(labels) if label is not None], dtype=torch.int64)
        for labels in (fitted_labels, judged_labels)
    )
    if not len(fit_rows) or not len(judge_rows):
        return {}
    fit_label, judge_label = (
        torch.tensor([number[label] for label in labels if label is not None])
        for labels in (fitted_labels, judged_labels)
    )
    return {
        name: linear_probe(
            _features(fitted, name)[fit_rows],
            fit_label,
            _features(judged, name)[judge_rows],
            judge_label,
        )
        for name in MODALITIES
    }


def movie_probes(dataset: Dataset, embedded: EmbeddedClips) -> dict[str, ProbeResult]:
    """Which movie is it? Fitted on the first half of each movie, judged on its second half.

    Halves in time, not at random: neighbours share a scene, and knowing it again is no proof of
    knowing the movie.
    """
    start_ns = torch.from_numpy(
        np.array(dataset.clips["start_ns"].to_numpy())[embedded.clip.numpy()]
    )
    fit_rows, judge_rows, labels = [], [], torch.zeros_like(embedded.movie)
    for number, movie in enumerate(sorted(set(embedded.movie.tolist()))):
        own = (embedded.movie == movie).nonzero().flatten()
        own = own[start_ns[own].argsort(stable=True)]
        labels[own] = number
        # A movie of one clip cannot be on both sides.
        if len(own) >= 2:
            fit_rows.append(own[: len(own) // 2])
            judge_rows.append(own[len(own) // 2 :])
    if len(fit_rows) < 2:
        return {}
    fit, judge = torch.cat(fit_rows), torch.cat(judge_rows)
    return {
        name: linear_probe(
            _features(embedded, name)[fit],
            labels[fit],
            _features(embedded, name)[judge],
            labels[judge],
        )
        for name in MODALITIES
    }


def _features(embedded: EmbeddedClips, modality: str) -> torch.Tensor:
    return embedded.video_features if modality == "video" else embedded.audio_features


def _notes(trained: TrainedRun, dataset: Dataset, is_heldout: bool) -> list[str]:
    notes = []
    if not is_heldout:
        notes.append("this run held no movies out: it is judged on movies that it trained on")
    if trained.description["dataset"]["fingerprint"] != dataset.fingerprint:
        notes.append("this is not the dataset that the run was trained on, as it was then")
    if trained.steps_done < trained.config.steps:
        done, steps = trained.steps_done, trained.config.steps
        notes.append(f"the run is unfinished: {done} of {steps} steps")
    return notes
