"""Fixtures of the tests of sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.films.beeps import FILM, beeping, flash_times, write_wav


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the films of these tests are, so that each picture is coded once."""
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="session")
def sound(folder: Path) -> Path:
    """The sound of `beeps.FILM`, uncoded."""
    return write_wav(folder / "beeps.wav", beeping(FILM.seconds, flash_times()))
