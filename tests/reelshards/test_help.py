"""The help of every command: current names, as they are typed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

import pipeline.__main__ as pipeline_commands
import trainer.__main__ as trainer_commands
from pipeline.config import RunConfig
from pipeline.demo import DemoConfig
from reelshards.commands import COMMANDS, main
from shards_spec import cli
from shards_spec.recipe import Recipe
from trainer.config import TrainConfig
from trainer.study import StudyConfig

SETTINGS = (RunConfig, DemoConfig, Recipe, TrainConfig, StudyConfig)
FORMER_FLAGS = {**pipeline_commands.FORMER_FLAGS, **trainer_commands.FORMER_FLAGS}


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def field_names(kind: Any) -> Iterator[str]:
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        yield item.name
        if dataclasses.is_dataclass(hints[item.name]):
            yield from field_names(hints[item.name])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_flags_and_positionals_as_they_are_typed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = help_of(command, capsys)
    fields = {name for kind in SETTINGS for name in field_names(kind) if "_" in name}
    assert "stage_gib" in fields
    assert "audio_mean" in fields
    assert not fields & set(re.findall(r"\w+", text))
    assert not [former for former in FORMER_FLAGS if former in text]
    assert not re.search(r"^\W*STR  ", text, re.M), "a positional without a metavar"


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-film-hours", "3", "--stop-share", "0.25"],
        ["--max-film-hours=3", "--stop-share=0.25"],
        ["--max_film_hours=3", "--stop_share", "0.25"],
        ["--max-movie-hours", "3", "--stop-fraction", "0.25"],
    ],
)
def test_former_flags_of_a_run_are_accepted(flags: list[str]) -> None:
    command = cli.parse(
        pipeline_commands.COMMANDS,
        ["preprocess", "movies", "--out", "shards", *flags],
        prog="pipeline",
        description="",
        former_flags=pipeline_commands.FORMER_FLAGS,
    )
    assert isinstance(command, pipeline_commands.Preprocess)
    assert command.run_config.limits.max_movie_hours == 3
    assert command.run_config.stop_fraction == 0.25
