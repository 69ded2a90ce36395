"""Fixtures of the tests of the shard format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset


@pytest.fixture
def data(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Two movies of 20 clips in shards of about 10, and one that failed."""
    return make_toy_dataset(
        str(tmp_path / "d"), num_movies=2, clips_per_movie=20, num_failed=1, shard_bytes=40_000
    )
