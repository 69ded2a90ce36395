from __future__ import annotations

import dataclasses

import pytest

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.study.config import AUGMENTS, Cell, Setting, StudyConfig, StudyCorpus, cell_config

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
    config = StudyConfig()
    settings = config.settings([MAIN, OTHER])
    assert len(settings) == len(set(settings))
    curve = [Setting(corpus="main", clips_per_movie=k) for k in (1, 4, 16, 64)]
    assert settings[:4] == curve
    rest = settings[4:]
    assert Setting(corpus="main", clips_per_movie=4, within_weight=8.0) in rest
    assert Setting(corpus="main", clips_per_movie=4, positives="movie") in rest
    assert Setting(corpus="main", clips_per_movie=1, augment="strong") in rest
    assert Setting(corpus="main", clips_per_movie=64, augment="strong") in rest
    assert Setting(corpus=OTHER.name, clips_per_movie=64) in rest
    assert Setting(corpus="main", clips_per_movie=16, within_weight=1e-9) in rest
    assert len(rest) == 7
    cells = list(config.cells([MAIN, OTHER]))
    assert len(cells) == 33
    assert [cell.seed for cell in cells[:11]] == [0] * 11


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
        ({"comparisons": ("negatives",), "clips_per_movie": (1, 64)}, "needs a k from 2 to 32"),
        ({"middle_clips": 1}, "middle-clips = 1"),
    ],
)
def test_bad_settings_are_rejected(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StudyConfig(**values)  # type: ignore[arg-type]
