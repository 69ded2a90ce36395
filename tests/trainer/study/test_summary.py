"""Means, effects and the sentences about them, from made-up evaluations."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.study.captions import MEANING
from trainer.study.cells import CellResult
from trainer.study.config import Cell, Setting, StudyConfig, StudyCorpus
from trainer.study.findings.summary import FIGURES, figure_value, summarize
from trainer.study.findings.verdict import JUDGES, verdict

CORPORA = [StudyCorpus(name="main", data="a"), StudyCorpus(name="plain", data="b")]
CONFIG = StudyConfig()


def arms(values: dict[Setting, float]) -> list[CellResult]:
    """Three seeds of each setting, all figures the same."""
    return [
        result(setting, seed, {figure.key: mean + 0.01 * (seed - 1) for figure in FIGURES})
        for setting, mean in values.items()
        for seed in range(3)
    ]


def test_claims_are_supported_refuted_or_open() -> None:
    low, large = (Setting(corpus="main", clips_per_movie=k) for k in (1, 16))
    change = dataclasses.replace
    results = arms(
        {
            change(low, source="initial"): 0.5,
            change(low, source="statistics"): 0.3,
            low: 0.4,
            large: 0.8,
            change(large, within_weight=1e-9): 0.6,
            change(low, hardness=1.0): 0.4,
        }
    )
    found = verdict(summarize(CONFIG, CORPORA, results), CONFIG, CORPORA)
    outcomes = {item.text: item.outcome for item in found.claims}
    assert outcomes == {
        "Negatives from the same movie help, in the same batches.": "supported",
        "The whole difference between k = 1 and k = 16 is due to these negatives.": "refuted",
        "Training at k = 1 is better than not training.": "refuted",
        "Training at k = 16 is better than not training.": "supported",
        "Training at k = 16 is better than mean color and mean log-mel.": "supported",
        "At k = 1, it helps to weight up hard negatives.": "open",
        "With hard negatives weighted up, k = 1 replaces k = 16.": "refuted",
    }
    for text in (
        "0.80 at k = 16",
        "0.60 in the same batches without these negatives (difference +0.200",
        "0.40 at k = 1",
        "0.50 without training",
    ):
        assert text in found.headline
    assert "the batches alone give video +0.200" in " ".join(found.points)


def test_outcomes_that_differ_between_modalities_are_named() -> None:
    low, large = (Setting(corpus="main", clips_per_movie=k) for k in (1, 16))
    without = dataclasses.replace(large, within_weight=1e-9)
    results = [
        result(setting, seed, {"class_video": video + 0.01 * seed, "class_audio": 0.5})
        for setting, video in ((low, 0.2), (large, 0.7), (without, 0.4))
        for seed in range(3)
    ]
    found = verdict(summarize(CONFIG, CORPORA, results), CONFIG, CORPORA)
    assert found.claims[0].outcome == "video supported, audio open"
    assert "in one modality only" in found.headline


def evaluation(values: dict[str, float], *, with_tags: bool = False) -> dict[str, Any]:
    """JSON of an evaluation with these scores, and chance at 0.1."""
    probes: dict[str, dict[str, Any]] = {"class_probe": {}, "movie_probe": {}, "tag_probe": {}}
    results = []
    for figure in FIGURES:
        if figure.key not in values or (figure.kind == "tag_probe" and not with_tags):
            continue
        if figure.kind == "retrieval":
            direction, gallery = figure.which
            scores = {"over_clips": {"r1": values[figure.key]}, "chance_over_clips": {"r1": 0.1}}
            results.append({"direction": direction, "gallery": gallery, **scores})
        else:
            probe = {"accuracy": values[figure.key], "chance": 0.1}
            probe["mean_average_precision"] = values[figure.key]
            probes[figure.kind][figure.which[0]] = probe
    return {**probes, "retrieval": {"results": results}}


def result(setting: Setting, seed: int, values: dict[str, float], loss: float = 1.0) -> CellResult:
    return CellResult(
        cell=Cell(setting=setting, seed=seed),
        folder=Path("nowhere"),
        binding={},
        evaluation=evaluation(values),
        curves={"step": [1.0, 2.0], "train/loss": [9.0, loss]},
        similarities=[],
        examples=[],
        by_movie={},
        seconds=1.0,
        cpu_seconds=1.0,
    )


def curve(means: dict[int, float], noise: float = 0.01, corpus: str = "main") -> list[CellResult]:
    return [
        result(
            Setting(corpus=corpus, clips_per_movie=k),
            seed,
            {
                **{figure.key: mean + noise * (seed - 1) for figure in FIGURES},
                "movie_video": 1 - mean,
            },
            loss=0.1 + mean,
        )
        for k, mean in means.items()
        for seed in range(3)
    ]


def test_every_measure_is_read_from_an_evaluation() -> None:
    values = {figure.key: 0.01 * (place + 1) for place, figure in enumerate(FIGURES)}
    found = {
        figure.key: figure_value(evaluation(values, with_tags=True), figure) for figure in FIGURES
    }
    assert found == values
    assert figure_value(evaluation({}), FIGURES[0]) is None
    assert figure_value(evaluation({}), FIGURES[-1]) is None


def test_effects_are_paired_by_seed() -> None:
    low, high = (Setting(corpus="main", clips_per_movie=k) for k in (1, 64))
    # Seeds differ a lot, the effect hardly: only pairing detects it.
    results = [result(low, seed, {"class_video": 0.1 * seed}) for seed in range(3)]
    results += [result(high, seed, {"class_video": 0.1 * seed + 0.05}) for seed in (2, 0, 1)]
    (effect,) = summarize(CONFIG, CORPORA, results).effects
    assert effect.name == "k = 64 instead of 1"
    assert effect.differences["class_video"].mean == pytest.approx(0.05)
    assert effect.differences["class_video"].is_clear


def test_the_loss_is_the_final_one() -> None:
    (row,) = summarize(
        CONFIG, CORPORA, [result(Setting(corpus="main", clips_per_movie=1), 0, {})]
    ).rows
    assert row.loss.mean == 1.0


def test_a_good_result_is_called_good() -> None:
    results = curve({1: 0.2, 4: 0.3, 16: 0.5, 64: 0.8})
    found = verdict(summarize(CONFIG, CORPORA, results), CONFIG, CORPORA)
    assert found.headline.startswith("More clips from each movie made the models learn more")
    assert "This includes what the batches change" in found.headline
    assert found.best.clips_per_movie == 64
    text = " ".join(found.points)
    assert "grows at every step" in text
    assert "from 0.80 to 0.20 for video" in text
    assert "The lowest loss (0.30 nats) belongs to k = 1, not" in text


def test_what_the_negatives_do_in_the_same_batches_is_set_apart() -> None:
    results = curve({1: 0.2, 16: 0.5, 64: 0.4})
    control = Setting(corpus="main", clips_per_movie=16, within_weight=1e-9)
    scores = {"class_video": 0.4, "class_audio": 0.45}
    results += [result(control, seed, scores) for seed in range(3)]
    summary = summarize(CONFIG, CORPORA, results)
    assert "no within-movie negatives" in summary.to_markdown()
    found = verdict(summary, CONFIG, CORPORA)
    (point,) = [p for p in found.points if "fewer movies" in p]
    assert "the batches alone give video +0.200" in point
    assert "the negatives the rest: video +0.100" in point
    assert "audio +0.050" in point
    assert "0.40 in the same batches without these negatives" in found.headline


def test_a_bad_result_is_called_bad_and_an_unclear_one_unclear() -> None:
    results = curve({1: 0.9, 4: 0.5, 16: 0.4, 64: 0.3})
    assert "did harm" in verdict(summarize(CONFIG, CORPORA, results), CONFIG, CORPORA).headline
    results = curve({1: 0.5, 4: 0.5, 16: 0.501, 64: 0.5})
    noisy = [
        result(one.cell.setting, one.cell.seed, {"class_video": 0.5, "class_audio": 0.5 + offset})
        for one, offset in zip(
            results, [0, 0.1, -0.1, 0.1, -0.1, 0, -0.1, 0, 0.1, 0, 0, 0.1], strict=True
        )
    ]
    found = verdict(summarize(CONFIG, CORPORA, noisy), CONFIG, CORPORA)
    assert "no clear difference" in found.headline


def test_without_labels_retrieval_is_compared() -> None:
    results = curve({1: 0.2, 64: 0.6})
    for one in results:
        one.evaluation["class_probe"].clear()
    found = verdict(summarize(CONFIG, CORPORA, results), CONFIG, CORPORA)
    assert found.judged_by == ("within_v2a", "within_a2v")
    assert "Within-movie R@1" in found.headline


def test_findings_say_what_they_are_judged_by_and_what_the_seeds_share() -> None:
    results = curve({1: 0.2, 64: 0.6})
    for one in results:
        values = {figure.key: 0.2 + 0.1 * one.cell.setting.clips_per_movie for figure in FIGURES}
        one.evaluation.update(evaluation(values, with_tags=True))
    summary = summarize(CONFIG, CORPORA, results)
    found = verdict(summary, CONFIG, CORPORA)
    assert found.judged_by == ("seen_video", "heard_audio")
    assert "Seen or heard (mAP), audio: 0.30 at k = 1" in found.headline
    assert "class probe" not in found.headline + MEANING[found.judged_by[0]]
    assert {keys[0] for keys in JUDGES} == set(MEANING)
    assert "on the same movies" in found.caveats[0]
    for every in (False, True):
        turns = dataclasses.replace(CONFIG, folds=5, every_fold=every)
        caveat = verdict(summary, turns, CORPORA).caveats[0]
        assert "held-out movies: one of the sets of 1/5" in caveat
        assert "on the same movies" not in caveat


def test_other_corpora_are_separate_effects() -> None:
    results = curve({1: 0.2, 64: 0.6}) + curve({1: 0.6, 64: 0.5}, corpus="plain")
    summary = summarize(CONFIG, CORPORA, results)
    assert [effect.name for effect in summary.effects] == [
        "k = 64 instead of 1",
        "k = 64 instead of 1, plain",
    ]
    effects = verdict(summary, CONFIG, CORPORA).effects
    assert [line.split(":")[0] for line in effects["better"]] == ["k = 64 instead of 1"]
    assert effects["worse"] == [
        "k = 64 instead of 1, plain: video -0.100 (-0.100 to -0.100), audio -0.100 (-0.100 to "
        "-0.100)"
    ]


def test_json_has_no_nan() -> None:
    text = json.dumps(summarize(CONFIG, CORPORA, curve({1: 0.5})[:1]).to_json(), allow_nan=False)
    assert '"low": null' in text


def test_tags_are_what_findings_are_judged_by_where_there_are_any() -> None:
    values = {figure.key: 0.4 for figure in FIGURES} | {"seen_video": 0.7, "class_video": 0.5}
    tagged, plain = evaluation(values, with_tags=True), evaluation(values)
    seen = next(figure for figure in FIGURES if figure.key == "seen_video")
    assert figure_value(tagged, seen) == 0.7
    assert figure_value(tagged, seen, chance=True) == 0.1
    assert figure_value(plain, seen) is None
    del plain["tag_probe"]
    assert figure_value(plain, seen) is None, "a result from before there were tags"
