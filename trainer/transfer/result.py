"""The result of a transfer: every single figure, their mean and spread, and a table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.transfer.features import Unreadable
from trainer.transfer.protocol import Protocol
from trainer.transfer.published import published

#: Files that are named on the console; the JSON has all.
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one probe on one fold with one seed."""

    probe: str
    modality: str
    fold: str
    seed: int | None
    """None where nothing depends on a seed."""
    num_train: int
    """Files."""
    num_test: int
    metrics: dict[str, float]
    """See `trainer/transfer/scores.py`."""
    regularization: float | None = None
    """That the linear probe chose."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A probe over all folds and seeds."""

    probe: str
    modality: str
    mean: dict[str, float]
    """Of each metric, over folds, of the mean over seeds."""
    sd_folds: dict[str, float | None]
    """Standard deviation over folds; None with one fold."""
    sd_seeds: dict[str, float | None]
    """Standard deviation over seeds, mean over folds; None with one seed, or none at all."""
    metric_if_missing_are_wrong: float
    """The main metric, if test files that could not be used count as wrong answers."""


@dataclass(frozen=True, kw_only=True)
class TransferResult:
    """Everything about one transfer."""

    task: str
    run: str
    encoder: dict[str, Any]
    """Architectures and preprocessing."""
    protocol: Protocol
    num_files: int
    """That the lists name."""
    num_classes: int
    folds: dict[str, dict[str, int]]
    """Of each fold: files in training and test, by the lists, and of those the usable ones."""
    missing: list[str]
    """Files that the lists name and that are not there."""
    unreadable: list[Unreadable]
    """Files that are there and could not be decoded, or lack video or audio."""
    notes: tuple[str, ...]
    measured: list[Measured]
    seconds: float
    versions: dict[str, str]

    @property
    def metric(self) -> str:
        """The main one."""
        return "map" if self.measured and "map" in self.measured[0].metrics else "top1"

    def summaries(self) -> list[Summary]:
        """One for each probe and modality."""
        pairs = dict.fromkeys((one.probe, one.modality) for one in self.measured)
        return [self._summary(*pair) for pair in pairs]

    def _summary(self, probe: str, modality: str) -> Summary:
        own = [one for one in self.measured if (one.probe, one.modality) == (probe, modality)]
        by_fold: dict[str, list[Measured]] = {}
        for one in own:
            by_fold.setdefault(one.fold, []).append(one)
        mean, sd_folds, sd_seeds = {}, {}, {}
        for name in own[0].metrics:
            values = [[one.metrics[name] for one in ones] for ones in by_fold.values()]
            means = [statistics.fmean(seeds) for seeds in values]
            mean[name] = statistics.fmean(means)
            sd_folds[name] = statistics.stdev(means) if len(means) > 1 else None
            spreads = [statistics.stdev(seeds) for seeds in values if len(seeds) > 1]
            sd_seeds[name] = statistics.fmean(spreads) if spreads else None
        shares = [
            statistics.fmean(one.metrics[self.metric] for one in ones)
            * self.folds[fold]["test"]
            / self.folds[fold]["test_listed"]
            for fold, ones in by_fold.items()
        ]
        return Summary(
            probe=probe,
            modality=modality,
            mean=mean,
            sd_folds=sd_folds,
            sd_seeds=sd_seeds,
            metric_if_missing_are_wrong=statistics.fmean(shares),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            **dataclasses.asdict(self),
            "metric": self.metric,
            "summary": [dataclasses.asdict(one) for one in self.summaries()],
            "published": [dataclasses.asdict(figure) for figure in published(self.task)],
        }

    def lines(self) -> list[str]:
        """For people: what was used, the table, and what is missing."""
        unit = "mAP" if self.metric == "map" else "top-1"
        lines = [
            f"{self.task}: {self.num_files:,} files in {self.num_classes} classes, "
            f"{len(self.folds)} folds; {len(self.missing):,} missing, "
            f"{len(self.unreadable):,} unreadable",
            *self.notes,
            "",
            f"| model | pretraining | protocol | input | {unit}, % | sd of folds | source |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *self._rows(),
            "",
        ]
        if self.missing or self.unreadable:
            worst = [
                f"{one.probe}, {one.modality}: {100 * one.metric_if_missing_are_wrong:.1f}"
                for one in self.summaries()
            ]
            lines += [
                "Not comparable with published figures: files are missing. If missing test files "
                f"count as wrong answers: {'; '.join(worst)}",
                *_named("missing", self.missing),
                *_named("unreadable", [f"{bad.name}: {bad.reason}" for bad in self.unreadable]),
            ]
        return lines

    def _rows(self) -> list[str]:
        rows = []
        for one in self.summaries():
            protocol = next(p for p in self.protocol.probes if p == one.probe)
            spread = one.sd_folds[self.metric]
            how = self.protocol.describe(protocol, one.modality)
            percent = f"{100 * one.mean[self.metric]:.1f}"
            sd = "-" if spread is None else f"{100 * spread:.1f}"
            rows.append(
                f"| **{self.run}** | | {how} | {one.modality} | {percent} | {sd} | this run |"
            )
        if self.measured:
            chance = 100 * self.summaries()[0].mean["chance"]
            rows.append(f"| chance | | | | {chance:.1f} | | |")
        rows += [
            f"| {figure.method}, {figure.backbone} | {figure.data} | {figure.protocol} | "
            f"{figure.modality} | {figure.percent:.1f} | | {figure.source} |"
            for figure in published(self.task)
        ]
        return rows


def _named(what: str, names: Sequence[str]) -> list[str]:
    more = [f"  and {len(names) - _SHOWN:,} more, in the JSON"] if len(names) > _SHOWN else []
    return [f"{what}:", *(f"  {name}" for name in names[:_SHOWN]), *more] if names else []
