"""Fixtures of the audio tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.films.beeps import FILM, beeping, flash_times, write_wav


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for the movies of these tests, so that each video is encoded once."""
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="session")
def sound(folder: Path) -> Path:
    """The uncompressed audio of `beeps.FILM`."""
    return write_wav(folder / "beeps.wav", beeping(FILM.seconds, flash_times()))
