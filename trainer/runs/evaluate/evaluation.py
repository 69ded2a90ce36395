"""What a run has learned, evaluated on movies that it did not train on.

    retrieval      given one view of a clip, find the other: within its movie, and among all clips
    class probe    do features encode what is shown? A linear probe, trained on training movies
    tag probe      the same for several labels per clip, by mean average precision
    movie probe    do features encode which movie it is? That is look and score, not meaning

Every number is reported together with chance. Probes read the towers' features, before the heads.
Memory is bounded by `MAX_CLIPS` and `MAX_PROBE_CLIPS`, however large the dataset is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset, open_dataset
from trainer.config import TrainConfig
from trainer.data.mix import with_labels
from trainer.data.mix.mixed_dataset import MixedDataset, mix, parts_of
from trainer.data.plan import ClipIndex
from trainer.ranks.world import default_device
from trainer.runs.bucket import local_copy
from trainer.runs.evaluate.heldout import evaluation_index, retrieve, whole_movies
from trainer.runs.evaluate.result import Evaluation, Judgement
from trainer.runs.folder import TrainedRun, load_run
from trainer.runs.scoring.clip_probes import ClipProbe, class_probes, movie_probes
from trainer.runs.scoring.embeddings import EmbeddedClips, Towers, embed_clips
from trainer.runs.scoring.labels import Labeler, labeler
from trainer.runs.scoring.tags import TagProbe, tag_probe

#: At most this many held-out clips, of whole movies, are embedded and searched.
MAX_CLIPS = 50_000

#: At most this many training clips, of whole movies, train the class probe.
MAX_PROBE_CLIPS = 20_000

_NOT_HELD_OUT = "this run held no movies out: it is evaluated on movies that it trained on"


def evaluate(
    data: str | Sequence[str],
    run: str | Path,
    labels: Path | None = None,
    label_column: str = "",
    *,
    best: bool = False,
    average: bool = False,
) -> Evaluation:
    """Evaluate the newest checkpoint of a run.

    Args:
        data: URI of the dataset, or of several.
        run: run folder; may be in a bucket.
        labels: table of labeled time ranges for the class probe; see
            `trainer/runs/scoring/labels.py`.
        label_column: column of the clip index to use as the class instead, or labels of the
            dataset: `labels.mood`.
        best: the weights whose evaluation during training was best instead of the newest.
        average: the moving average of the weights, for runs with `ema_decay`.

    Raises `InputError` when the run, the dataset or the labels cannot be used, or when the model
    computes NaN.
    """
    return judge(data, run, labels, label_column, best=best, average=average).evaluation


def judge(
    data: str | Sequence[str],
    run: str | Path,
    labels: Path | None = None,
    label_column: str = "",
    tags: Mapping[str, Path] | None = None,
    *,
    best: bool = False,
    average: bool = False,
) -> Judgement:
    """As `evaluate`; also returns what the numbers were computed from.

    Args:
        tags: by modality, tables of labels of which a clip may have several.
    """
    with local_copy(run) as folder:
        trained = load_run(folder, best=best, average=average)
    uris = [data] if isinstance(data, str) else data
    # With the labels that the run's filter reads, as it was trained.
    columns = trained.config.policy.where_columns
    dataset = mix([with_labels(open_dataset(uri), columns) for uri in uris])
    # Unusable labels are reported before clips are embedded, not after.
    label = labeler(dataset, labels, label_column)
    return judge_towers(
        trained.model.to(default_device()),
        trained.config,
        dataset,
        label,
        run=str(run),
        steps_done=trained.steps_done,
        notes=_notes(trained, dataset),
        tags=tags or {},
    )


def judge_towers(
    model: Towers,
    config: TrainConfig,
    dataset: Dataset,
    label: Labeler | None,
    *,
    run: str,
    steps_done: int,
    notes: list[str],
    tags: Mapping[str, Path] = MappingProxyType({}),
) -> Judgement:
    """Evaluate towers that are on this process's device, trained or not.

    Args:
        config: which movies are held out, and how clips become inputs.
        label: the classes of clips; None for no class probe.
        run: what the evaluation names as the run.
        notes: remarks for the reader; more are appended.
        tags: by modality, tables of labels of which a clip may have several.
    """
    index, is_heldout = evaluation_index(dataset, config)
    if not is_heldout:
        notes.insert(0, _NOT_HELD_OUT)
    rows = _capped(index, MAX_CLIPS, "evaluation clips", notes)
    embedded = embed_clips(model, dataset, rows, config, default_device())
    labels = label(embedded.clip.tolist()) if label else None
    class_probe: dict[str, ClipProbe] = {}
    tag_probes: dict[str, TagProbe] = {}
    if (label or tags) and is_heldout:
        train_clips = _training_clips(model, config, dataset, notes)
        if label and labels is not None:
            class_probe = _class_probe(train_clips, embedded, label, labels, notes)
        tag_probes = _tag_probes(dataset, tags, train_clips, embedded)
    elif label or tags:
        notes.append("no class probe: it needs held-out movies, and this run held none out")
    movie_probe = movie_probes(dataset, embedded)
    evaluation = Evaluation(
        data=dataset.storage.uri,
        run=run,
        steps_done=steps_done,
        retrieval=retrieve(embedded, dataset, is_heldout=is_heldout),
        class_probe={name: probe.result for name, probe in class_probe.items()},
        movie_probe={name: probe.result for name, probe in movie_probe.items()},
        tag_probe={name: probe.result for name, probe in tag_probes.items()},
        notes=notes,
    )
    return Judgement(evaluation, dataset, embedded, labels, class_probe, movie_probe, tag_probes)


def _tag_probes(
    dataset: Dataset,
    tags: Mapping[str, Path],
    train_clips: EmbeddedClips,
    embedded: EmbeddedClips,
) -> dict[str, TagProbe]:
    """By modality, without those whose tables have no tags of these clips."""
    probes = {
        name: tag_probe(dataset, table, train_clips, embedded, name) for name, table in tags.items()
    }
    return {name: probe for name, probe in probes.items() if probe}


def _class_probe(
    train_clips: EmbeddedClips,
    embedded: EmbeddedClips,
    label: Labeler,
    eval_labels: list[str | None],
    notes: list[str],
) -> dict[str, ClipProbe]:
    train_labels = label(train_clips.clip.tolist())
    probe = class_probes(train_clips, train_labels, embedded, eval_labels)
    num_unlabeled = [*train_labels, *eval_labels].count(None)
    if num_unlabeled:
        notes.append(f"{num_unlabeled} clips have no label and are not in the class probe")
    if not probe:
        notes.append("no class probe: no labeled clips in training or in held-out movies")
    return probe


def _training_clips(
    model: Towers, config: TrainConfig, dataset: Dataset, notes: list[str]
) -> EmbeddedClips:
    """Embeddings of the clips that train the class probe."""
    # Whole stored clips, also of runs that joined them.
    policy = dataclasses.replace(config.policy, joined_clips=1)
    index = ClipIndex.from_dataset(dataset, policy)
    rows = _capped(index, MAX_PROBE_CLIPS, "training clips of the class probe", notes)
    return embed_clips(model, dataset, rows, config, default_device())


def _capped(index: ClipIndex, max_clips: int, what: str, notes: list[str]) -> NDArray[np.int64]:
    """The rows of the index, or of as many whole movies as the cap allows, with a note."""
    if len(index.row) <= max_clips:
        return index.row
    rows = whole_movies(index, max_clips)
    notes.append(f"{what}: {len(rows):,} of {len(index.row):,}, of whole movies (capped)")
    return rows


def _notes(trained: TrainedRun, dataset: Dataset) -> list[str]:
    notes = []
    trained_on = _fingerprints(trained)
    for part in parts_of(dataset):
        if part.fingerprint not in trained_on:
            name = part.uri if isinstance(dataset, MixedDataset) else "this dataset"
            notes.append(f"{name} differs from the one that the run was trained on")
    if trained.steps_done < trained.config.steps:
        done, steps = trained.steps_done, trained.config.steps
        notes.append(f"the run is unfinished: {done} of {steps} steps")
    return notes


def _fingerprints(trained: TrainedRun) -> set[str]:
    """Of the datasets that a run was trained on."""
    described = trained.description["dataset"]
    parts = described.get("parts") or [described]
    return {str(part["fingerprint"]) for part in parts}
