"""Fixtures that tests of the pipeline share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.films.media import Film, make_film


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two movies of 8 and 5 clips with the options `runs.SMALL`."""
    folder = tmp_path_factory.mktemp("corpus")
    make_film(folder / "one.mp4", Film(seconds=14, gop=25))
    make_film(folder / "two.mkv", Film(seconds=9, tint=(140, 90, 60)))
    return folder


@pytest.fixture(scope="session")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid movie that no run may read."""
    return make_film(tmp_path_factory.mktemp("outside") / "canary.mp4", Film(seconds=7))
