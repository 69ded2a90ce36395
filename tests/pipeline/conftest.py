"""Fixtures that tests of the pipeline share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from media import Film, make_film


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A Ray that the runs of one module share."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of 8 and 5 clips, when these are `runs.SMALL`."""
    folder = tmp_path_factory.mktemp("corpus")
    make_film(folder / "one.mp4", Film(seconds=14, gop=25))
    make_film(folder / "two.mkv", Film(seconds=9, tint=(140, 90, 60)))
    return folder
