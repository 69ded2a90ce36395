"""Runs that start and stop Ray themselves: always the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from shards_spec.dataset.validation.validator import validate
from tests.support.datasets.outcome import digests
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an undisturbed run on one worker."""
    out = tmp_path_factory.mktemp("whole")
    assert preprocess(corpus, out, "--workers", "1") == 0
    assert not ray.is_initialized()
    return out


@pytest.mark.slow
def test_same_bytes_for_any_workers_and_segments(corpus: Path, whole: Path, tmp_path: Path) -> None:
    """Run twice, the second time with other numbers of workers and other segments."""
    assert preprocess(corpus, tmp_path, "--workers", "2", "--segment-seconds", "2") == 0
    assert len([key for key in digests(whole) if key.endswith(".tar")]) == 2
    assert digests(tmp_path) == digests(whole)
    report = validate(str(tmp_path))
    assert report.ok
    assert (report.num_movies, report.num_clips) == (2, 8 + 5)


def test_no_cluster_at_the_address(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(corpus, tmp_path, "--address", "127.0.0.1:1") == 2
    assert "cannot start Ray at '127.0.0.1:1'" in capsys.readouterr().err
