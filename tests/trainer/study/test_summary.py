"""Means, intervals, effects and the sentences about them, from made-up evaluations."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from trainer.study.by_movie import bootstrap
from trainer.study.cells import CellResult
from trainer.study.config import Cell, Setting, StudyConfig, StudyCorpus
from trainer.study.findings.intervals import T_975, Interval, t_quantile
from trainer.study.findings.summary import FIGURES, figure_value, summarize
from trainer.study.findings.verdict import verdict

CORPORA = [StudyCorpus(name="main", data="a"), StudyCorpus(name="plain", data="b")]
CONFIG = StudyConfig()


def test_quantiles_are_those_of_the_distribution() -> None:
    for place, value in enumerate(T_975):
        assert value == pytest.approx(stats.t.ppf(0.975, place + 1), abs=6e-4)


@pytest.mark.parametrize("degrees", [1, 30, 31, 40, 99, 1000])
def test_the_quantile_holds_beyond_the_table(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=6e-4)
    # With 32 runs the normal's 1.96 would be too small.
    assert t_quantile(degrees) > 1.96


def test_the_bootstrap_covers_movies_and_seeds() -> None:
    random = np.random.default_rng(1)

    def interval(movie_spread: float, num_movies: int) -> tuple[float, float]:
        effect = 0.1 + movie_spread * random.standard_normal(num_movies)
        before = {f"m{j}": [5.0, 10] for j in range(num_movies)}
        after = {f"m{j}": [5.0 + 10 * effect[j], 10] for j in range(num_movies)}
        found = bootstrap([(before, after)] * 4)
        assert found is not None
        return found

    low, high = interval(0.0, 20)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    low, high = interval(0.2, 400)
    # 1.96 standard errors of a mean of 400.
    assert high - low == pytest.approx(2 * 1.96 * 0.2 / 20, rel=0.15)
    assert low < 0.1 < high
    seeds = [({"a": [0, 1], "b": [0, 1]}, {"a": [s, 1], "b": [s, 1]}) for s in (0.0, 1.0)]
    assert bootstrap(seeds) == pytest.approx((0.0, 1.0)), "the same in both movies: only seeds"
    assert bootstrap([({"a": [0, 1]}, {"a": [1, 1]})]) is None, "one movie"


def test_movies_without_an_effect_make_it_unclear() -> None:
    steady = [0.2, 0.21, 0.19]
    assert Interval.of(steady).is_clear
    assert Interval.of(steady, (0.1, 0.3)).is_above
    assert not Interval.of(steady, (-0.01, 0.4)).is_clear
    assert Interval.of([-value for value in steady], (-0.3, -0.1)).is_below
    assert "movies -0.010 to +0.400" in Interval.of(steady, (-0.01, 0.4)).text(sign=True)


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


def test_interval_by_hand() -> None:
    found = Interval.of([0.2, 0.4, 0.6])
    # Deviation 0.2, over the root of 3, times 4.303.
    assert found.mean == pytest.approx(0.4)
    assert found.high - found.mean == pytest.approx(4.303 * 0.2 / math.sqrt(3))
    assert not found.is_clear
    assert Interval.of([0.5, 0.51, 0.52]).is_clear
    assert math.isnan(Interval.of([0.3]).low)
    assert not Interval.of([0.3]).is_clear
    assert Interval.of([0.3]).text() == "0.300"


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
    assert "within-movie R@1" in found.headline


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


def test_the_bootstrap_of_folds_draws_the_movies_of_each_seed() -> None:
    random = np.random.default_rng(2)
    pairs = []
    for seed in range(5):
        effect = 0.1 + 0.2 * random.standard_normal(40)
        before = {f"s{seed}m{j}": [1.0, 2.0] for j in range(40)}
        after = {f"s{seed}m{j}": [1.0 + 2.0 * effect[j], 2.0] for j in range(40)}
        pairs.append((before, after))
    found = bootstrap(pairs)
    assert found is not None
    low, high = found
    assert low < 0.1 < high
    # About 1.96 standard errors of a mean of 200, more for the spread between seeds.
    assert 0.8 < (high - low) / (2 * 1.96 * 0.2 / 200**0.5) < 2.0
    assert bootstrap([pairs[0], ({"x": [0, 1]}, {"x": [1, 1]})]) is None, "a seed with one movie"


def test_tags_are_what_findings_are_judged_by_where_there_are_any() -> None:
    values = {figure.key: 0.4 for figure in FIGURES} | {"seen_video": 0.7, "class_video": 0.5}
    tagged, plain = evaluation(values, with_tags=True), evaluation(values)
    seen = next(figure for figure in FIGURES if figure.key == "seen_video")
    assert figure_value(tagged, seen) == 0.7
    assert figure_value(tagged, seen, chance=True) == 0.1
    assert figure_value(plain, seen) is None
    del plain["tag_probe"]
    assert figure_value(plain, seen) is None, "a result from before there were tags"
