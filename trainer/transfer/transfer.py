"""A transfer from files to figures: features once, then every probe on every fold.

Shape suffixes: N training files, K classes.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.errors import InputError
from shards_spec.version import version
from trainer.console import say
from trainer.models import build_model
from trainer.models.inputs import describe_inputs
from trainer.runs.evaluate import ClipEncoder
from trainer.transfer.features import FileFeatures, extract
from trainer.transfer.finetune import finetuned_scores
from trainer.transfer.frozen import chosen_regularization, knn_scores, linear_scores
from trainer.transfer.labeled_files import Fold, LabeledSet
from trainer.transfer.protocol import Modality, Probe, Protocol
from trainer.transfer.result import Measured, TransferResult
from trainer.transfer.scores import score
from trainer.transfer.views import ReadWindows, Windows, WindowStore

#: Initial weights of an untrained network.
UNTRAINED_SEED = 0


@dataclass(frozen=True, kw_only=True)
class _Setup:
    """What all probes share."""

    encoder: ClipEncoder
    labeled: LabeledSet
    features: FileFeatures
    store: WindowStore
    protocol: Protocol


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """The usable files of a fold: their rows in the data set, and in the features."""

    train: list[int]
    test: list[int]
    train_features: list[int]
    test_features: list[int]
    train_target: torch.Tensor
    """(N, K) bool."""
    test_target: torch.Tensor

    def counts(self, fold: Fold) -> dict[str, int]:
        """Numbers of files: those that the fold lists, and the usable ones."""
        listed = {"train_listed": len(fold.train), "test_listed": len(fold.test)}
        return {**listed, "train": len(self.train), "test": len(self.test)}


def untrained(encoder: ClipEncoder) -> ClipEncoder:
    """The same networks with initial weights: what a run has to beat."""
    model = build_model(encoder.model.config, UNTRAINED_SEED).to(encoder.device).eval()
    return ClipEncoder(
        model, encoder.recipe, encoder.crop_pixels, encoder.device, encoder.precision
    )


def transfer(
    task: str,
    run: str,
    encoder: ClipEncoder,
    labeled: LabeledSet,
    read: ReadWindows,
    protocol: Protocol,
    cache: Path,
) -> TransferResult:
    """Measure a transfer.

    Args:
        task: name of the data set.
        run: name of the encoder in tables.
        encoder: the towers, and how their inputs are made.
        labeled: the data set.
        read: decodes a file.
        protocol: views, probes and seeds.
        cache: folder for decoded windows.

    Raises `InputError` if a fold has too few usable files, or the cache cannot be written.
    """
    begin = time.monotonic()
    modalities = protocol.modalities_of(task)
    setup = _set_up(encoder, labeled, read, protocol, modalities, cache)
    folds: dict[str, dict[str, int]] = {}
    measured: list[Measured] = []
    for fold in labeled.folds:
        sides = _sides(setup, fold)
        folds[fold.name] = sides.counts(fold)
        measured += _fold_results(setup, fold, sides, modalities)
    return TransferResult(
        task=task,
        run=run,
        encoder=_described(encoder),
        protocol=protocol,
        num_files=len(labeled.files),
        num_classes=len(labeled.classes),
        folds=folds,
        missing=labeled.missing,
        unreadable=setup.features.unreadable,
        notes=labeled.notes,
        measured=measured,
        seconds=time.monotonic() - begin,
        versions=_versions(encoder),
    )


def _set_up(
    encoder: ClipEncoder,
    labeled: LabeledSet,
    read: ReadWindows,
    protocol: Protocol,
    modalities: Sequence[Modality],
    cache: Path,
) -> _Setup:
    """Decode what these modalities need of all files, and compute their features."""
    video, audio = (not {name, "both"}.isdisjoint(modalities) for name in ("video", "audio"))
    store = WindowStore(cache, encoder.recipe, read, protocol.windows, video, audio)
    features = extract(encoder, labeled, store, protocol.crops)
    return _Setup(
        encoder=encoder, labeled=labeled, features=features, store=store, protocol=protocol
    )


def _fold_results(
    setup: _Setup, fold: Fold, sides: _Sides, modalities: Sequence[Modality]
) -> list[Measured]:
    """Every probe of a fold; each result is printed when it is known."""
    results = []
    for modality in modalities:
        for probe in setup.protocol.probes:
            for one in _probed(setup, fold, sides, probe, modality):
                seed = "" if one.seed is None else f", seed {one.seed}"
                figures = ", ".join(f"{k} {v:.3f}" for k, v in one.metrics.items())
                say(f"fold {fold.name}, {modality}, {probe}{seed}: {figures}")
                results.append(one)
    return results


def _described(encoder: ClipEncoder) -> dict[str, Any]:
    """The encoder's inputs and the recipe of its clips, for the result."""
    recipe = encoder.recipe
    inputs = describe_inputs(
        encoder.model.config, stored_frames=recipe.num_frames, crop_pixels=encoder.crop_pixels
    )
    return {**inputs, "recipe": recipe.to_json()}


def _versions(encoder: ClipEncoder) -> dict[str, str]:
    return {
        "reelshards": version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(encoder.device),
    }


def _sides(setup: _Setup, fold: Fold) -> _Sides:
    row, labeled = setup.features.row, setup.labeled
    train, test = ([at for at in side if at in row] for side in (fold.train, fold.test))
    if len(train) < 2 or not test:
        bad = setup.features.unreadable
        reason = f"; the first: {bad[0].name}: {bad[0].reason}" if bad else ""
        raise InputError(
            f"fold {fold.name} has {len(train)} usable training files and {len(test)} test files: "
            f"{len(labeled.missing)} files are missing, {len(bad)} unreadable{reason}"
        )

    def target(side: list[int]) -> torch.Tensor:
        found = torch.zeros(len(side), len(labeled.classes), dtype=torch.bool)
        for number, at in enumerate(side):
            found[number, list(labeled.files[at].labels)] = True
        return found

    return _Sides(
        train=train,
        test=test,
        train_features=[row[at] for at in train],
        test_features=[row[at] for at in test],
        train_target=target(train),
        test_target=target(test),
    )


def _probed(
    setup: _Setup, fold: Fold, sides: _Sides, probe: Probe, modality: Modality
) -> Iterator[Measured]:
    """The figures of a probe: one, or one for each seed."""
    many = setup.labeled.has_many_labels
    for seed in range(setup.protocol.seeds) if probe == "finetune" else (None,):
        scores, l2 = _scores(setup, sides, probe, modality, seed or 0)
        yield Measured(
            probe=probe,
            modality=modality,
            fold=fold.name,
            seed=seed,
            num_train=len(sides.train),
            num_test=len(sides.test),
            metrics=score(scores, sides.test_target, many=many),
            regularization=l2,
        )


def _scores(
    setup: _Setup, sides: _Sides, probe: Probe, modality: Modality, seed: int
) -> tuple[torch.Tensor, float | None]:
    """Of the test files, and the regularization that was chosen."""
    protocol, labeled = setup.protocol, setup.labeled
    many, target = labeled.has_many_labels, sides.train_target
    if probe == "finetune":

        def windows_of(at: int) -> Windows:
            path = labeled.files[at].path
            assert path is not None
            return setup.store.get(path)

        tuned = finetuned_scores(
            *(setup.encoder, modality, windows_of, sides.train, target, sides.test, protocol),
            seed=seed,
            many=many,
        )
        return tuned, None
    features = setup.features.by_modality[modality]
    train, test = features[sides.train_features], features[sides.test_features]
    if probe == "knn":
        return knn_scores(
            *(train, target, test), neighbors=protocol.neighbors, temperature=protocol.temperature
        ), None
    groups = [labeled.files[at].group for at in sides.train]
    l2 = chosen_regularization(train, target, groups, num_folds=protocol.inner_folds, many=many)
    return linear_scores(train, target, test, l2, many=many), l2
