"""mteb evaluates a run on tasks with real files, to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reelshards as rs

mteb = pytest.importorskip("mteb", reason="needs mteb (extra `board`)")

# mteb takes seconds to import.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

from reelshards.board.mteb_encoder import MtebEncoder  # noqa: E402
from tests.support.board import own_tasks  # noqa: E402


@pytest.fixture(scope="module")
def encoder(trained_run: Path) -> MtebEncoder:
    return MtebEncoder(rs.load(trained_run).clips, "tests/small")


def evaluated(encoder: MtebEncoder, task: Any) -> dict[str, Any]:
    """The scores that mteb's evaluator computes on the split `test`."""
    found = mteb.evaluate(encoder, task, cache=None, co2_tracker=False, show_progress_bar=False)
    [result] = found.task_results
    [scores] = result.scores["test"]
    return scores


@pytest.mark.parametrize("category", ["a2c", "v2c", "va2c"])
def test_classification(encoder: MtebEncoder, tmp_path: Path, category: str) -> None:
    scores = evaluated(encoder, own_tasks.classification(tmp_path, category))
    assert scores["main_score"] == 1.0


def test_clustering(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.clustering(tmp_path))["main_score"] == 1.0


def test_pairs(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.pairs(tmp_path))["main_score"] == 1.0


def test_retrieval(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.retrieval(tmp_path, "a2a"))["main_score"] == 1.0
    across = evaluated(encoder, own_tasks.retrieval(tmp_path, "v2a"))
    assert 0.0 < across["main_score"] <= 1.0
