from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.study.cells import cell_config, cell_folder
from trainer.study.config import (
    AUGMENTS,
    Cell,
    Comparison,
    Setting,
    StudyConfig,
    StudyCorpus,
)

MAIN, OTHER = StudyCorpus(name="main", data="a"), StudyCorpus(name="No look, no score!", data="b")


def test_cells_differ_only_in_k(tiny_config: TrainConfig) -> None:
    config = StudyConfig(clips_per_movie=(1, 4), batch_size=8, steps=4)
    one, four = (
        cell_config(
            tiny_config, config, Cell(setting=Setting(corpus="m", clips_per_movie=k), seed=0)
        )
        for k in (1, 4)
    )
    assert one.policy.batch_size == four.policy.batch_size == 8
    assert (one.policy.rho, four.policy.rho) == (0.0, 3 / 7)
    assert dataclasses.replace(one, policy=four.policy) == four


def test_each_comparison_changes_one_thing_and_shares_runs() -> None:
    assert StudyConfig().comparisons == ("baselines", "curve", "negatives", "weight")
    config = StudyConfig(comparisons=get_args(Comparison)[:-3])
    settings = config.settings([MAIN, OTHER])
    assert len(settings) == len(set(settings))
    curve = [Setting(corpus="main", clips_per_movie=k) for k in (1, 4, 16, 64)]
    baselines = [
        Setting(corpus="main", clips_per_movie=1, source="statistics"),
        Setting(corpus="main", clips_per_movie=1, source="initial"),
    ]
    assert settings[:6] == [*baselines, *curve]
    rest = settings[6:]
    assert Setting(corpus="main", clips_per_movie=4, within_weight=8.0) in rest
    assert Setting(corpus="main", clips_per_movie=4, positives="movie") in rest
    assert Setting(corpus="main", clips_per_movie=1, augment="strong") in rest
    assert Setting(corpus="main", clips_per_movie=16, augment="strong") in rest
    assert Setting(corpus="main", clips_per_movie=16, positives="near") in rest
    assert Setting(corpus="main", clips_per_movie=16, positives="far") in rest
    assert Setting(corpus=OTHER.name, clips_per_movie=64) in rest
    assert Setting(corpus="main", clips_per_movie=16, within_weight=1e-9) in rest
    assert len(rest) == 9
    cells = list(config.cells([MAIN, OTHER]))
    assert len(cells) == 45
    assert [cell.seed for cell in cells[:15]] == [0] * 15


def test_comparisons_on_request_add_their_arms() -> None:
    config = StudyConfig(comparisons=("hard", "norm", "mass"))
    one, large = (Setting(corpus="main", clips_per_movie=k) for k in (1, 16))
    change = dataclasses.replace
    group = change(large, norm="group")
    assert config.settings([MAIN, OTHER]) == [
        one,
        large,
        change(one, hardness=1.0),
        change(large, hardness=1.0),
        change(one, norm="group", source="initial"),
        change(one, norm="group"),
        change(group, within_weight=1e-9),
        group,
        change(large, within_mass=0.5),
    ]
    folders = {
        cell_folder(Path("run"), MAIN, cell)
        for cell in StudyConfig(comparisons=get_args(Comparison), seeds=2).cells([MAIN])
    }
    settings = StudyConfig(comparisons=get_args(Comparison)).settings([MAIN])
    assert len(folders) == 2 * len(settings)


def test_arms_change_the_loss_and_the_network(tiny_config: TrainConfig) -> None:
    config = StudyConfig(clips_per_movie=(1, 4), batch_size=8, steps=6)
    plain = Setting(corpus="m", clips_per_movie=4)
    before, hard, group = (
        cell_config(tiny_config, config, Cell(setting=setting, seed=0))
        for setting in (
            plain,
            dataclasses.replace(plain, hardness=2.0),
            dataclasses.replace(plain, norm="group"),
        )
    )
    assert (hard.loss.objective, hard.loss.hardness, hard.loss.positive_prior) == ("hard", 2.0, 0)
    assert dataclasses.replace(hard, loss=before.loss) == before
    assert (before.model.small_norm, group.model.small_norm) == ("batch", "group")
    assert dataclasses.replace(group, model=before.model) == before


def test_a_setting_is_passed_to_the_run(tiny_config: TrainConfig) -> None:
    config = StudyConfig(clips_per_movie=(1, 4), batch_size=8, steps=6)
    setting = Setting(corpus="m", clips_per_movie=4, positives="movie", augment="strong")
    found = cell_config(tiny_config, config, Cell(setting=setting, seed=5))
    assert (found.loss.positives, found.seed, found.steps) == ("movie", 5, 6)
    assert found.augment == AUGMENTS["strong"]
    assert found.optimizer.warmup_steps <= 3
    weighted = dataclasses.replace(setting, positives="clip", within_weight=2.0)
    found = cell_config(tiny_config, config, Cell(setting=weighted, seed=0))
    assert found.loss.within_weight == 2.0


def test_names_become_folders() -> None:
    assert OTHER.slug == "no-look-no-score"
    assert StudyCorpus(name="!", data="").slug == "corpus"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clips_per_movie": (1, 5)}, "must divide"),
        ({"clips_per_movie": (4, 4)}, "two values"),
        ({"seeds": 0}, "seeds = 0"),
        ({"comparisons": ()}, "comparisons"),
        ({"comparisons": ("negatives",), "clips_per_movie": (1, 64)}, "need a k from 2 to 32"),
        ({"comparisons": ("baselines",)}, "at least one besides baselines"),
        ({"mass": 1.0}, "mass = 1"),
        ({"hardness": 0.0}, "hardness = 0"),
        ({"middle_clips": 1}, "middle-clips = 1"),
    ],
)
def test_bad_settings_are_rejected(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StudyConfig(**values)  # type: ignore[arg-type]


def test_seeds_take_turns_over_the_sets_except_the_one_for_validation() -> None:
    config = StudyConfig(folds=5, seeds=6)
    assert [config.fold(seed) for seed in range(6)] == [0, 1, 2, 3, 0, 1]
    assert dataclasses.replace(config, validation=True).fold(0) == 4
    every = dataclasses.replace(config, every_fold=True)
    assert [every.fold(seed) for seed in range(6)] == [0, 1, 2, 3, 4, 0]
    cell = Cell(setting=Setting(corpus="a", clips_per_movie=1), seed=2)
    policy = cell_config(TrainConfig(), config, cell).policy
    assert (policy.heldout_fraction, policy.heldout_offset) == (0.2, 0.4)
    with pytest.raises(InputError, match="folds"):
        StudyConfig(folds=2)
    with pytest.raises(InputError, match="validation"):
        StudyConfig(validation=True)
    with pytest.raises(InputError, match="every-fold"):
        StudyConfig(every_fold=True)
    with pytest.raises(InputError, match="no set is kept"):
        StudyConfig(folds=5, every_fold=True, validation=True)
