"""Fixtures that tests of all packages share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shards_spec.reader import Dataset


def _load_toy_dataset() -> ModuleType:
    # Tests are no package and not on sys.path (import-mode=importlib), so the file is loaded here.
    name = "toy_dataset"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


_TOY_DATASET = _load_toy_dataset()


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module `tests/toy_dataset.py`: rows, members, frames and classes of the toy movies."""
    return _TOY_DATASET


@pytest.fixture(scope="session")
def make_toy_dataset() -> Callable[..., Dataset]:
    """`write_toy_dataset(uri, *, num_movies=3, clips_per_movie=8, height=32, width=48, ...)`."""
    write: Callable[..., Dataset] = _TOY_DATASET.write_toy_dataset
    return write
