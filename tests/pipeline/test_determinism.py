"""Runs that start and stop Ray themselves: the same bytes whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from media import Film, make_film
from outcome import digests
from runs import SMALL, preprocess

from shards_spec.reader import open_dataset, read_clips
from shards_spec.schema import clip_rows
from shards_spec.storage import Storage
from shards_spec.validate import validate

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an undisturbed run on one worker."""
    out = tmp_path_factory.mktemp("whole")
    assert preprocess(corpus, out, "--workers", "1") == 0
    assert not ray.is_initialized()
    return out


def test_same_bytes_whatever_workers_and_segments(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    """Run twice; the second time with another number of workers and other segments."""
    assert preprocess(corpus, tmp_path, "--workers", "2", "--segment-seconds", "2") == 0
    assert len([key for key in digests(whole) if key.endswith(".tar")]) == 2
    assert digests(tmp_path) == digests(whole)
    report = validate(str(tmp_path))
    assert report.ok
    assert (report.num_movies, report.num_clips) == (2, 8 + 5)


def test_killed_in_the_middle_and_started_again(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for number in range(6):
        make_film(films / f"{number}.mp4", Film(seconds=6 + number))
    assert preprocess(films, tmp_path / "whole") == 0
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), "--out", str(out)]
    with subprocess.Popen(
        [*command, *SMALL, "--workers", "1"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        deadline = time.monotonic() + 120
        while not list(out.glob("commits/*.parquet")):
            assert run.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(run.pid, signal.SIGKILL)
    committed = {path: path.stat().st_mtime_ns for path in out.glob("commits/*.parquet")}
    assert 1 <= len(committed) < 6
    assert not (out / "dataset.json").exists()
    assert preprocess(films, out) == 0
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    assert digests(out) == digests(tmp_path / "whole")


def test_a_bucket_gets_the_same_bytes(corpus: Path, whole: Path, s3_bucket: str) -> None:
    source, out = f"{s3_bucket}/films", f"{s3_bucket}/out"
    films = Storage(source)
    for path in corpus.iterdir():
        films.put(path.name, path)
    assert preprocess(source, out) == 0
    assert validate(out).ok
    remote, local = open_dataset(out), open_dataset(str(whole))
    assert remote.clips == local.clips
    rows = clip_rows(remote.clips)
    for row in rows:
        (sample,) = read_clips(remote.storage, [row])
        assert sample.frames.shape == (8, 32, 54, 3)
    assert not any("stage" in info.key for info in Storage(s3_bucket).list())


def test_no_cluster_at_the_address(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(corpus, tmp_path, "--address", "127.0.0.1:1") == 2
    assert "cannot start Ray at '127.0.0.1:1'" in capsys.readouterr().err
