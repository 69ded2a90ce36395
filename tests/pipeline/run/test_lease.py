"""One run at a time on a dataset; movies removed from the corpus can be pruned."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.run import drain, lease
from pipeline.run.lease import DEAD_SECONDS, LeaseLostError
from shards_spec.errors import InputError
from shards_spec.reader import Dataset, open_dataset
from shards_spec.storage.storage import Storage
from shards_spec.validation.validator import validate
from tests.support.films.media import Film, make_film

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A dataset's storage, on disk and in a bucket."""
    if request.param == "folder":
        return Storage(str(tmp_path / "out"), create=True)
    return Storage(f"{request.getfixturevalue('s3_bucket')}/out")


def put_holder(storage: Storage, number: int, **changes: object) -> None:
    """Store a lease of another run, with the given changes."""
    holder = lease.Holder("other", "elsewhere", "boot", 1, 0.0, time.time())
    values = dataclasses.asdict(holder) | changes
    storage.put(f"run.lock/{number:06d}.json", json.dumps(values).encode())


def test_only_one_run_holds_the_lease(storage: Storage) -> None:
    with lease.hold_lease(storage):
        with pytest.raises(InputError, match="another run works on"), lease.hold_lease(storage):
            pass
        assert lease.holder_of(storage) is not None
    assert lease.holder_of(storage) is None
    assert [info.key for info in storage.list()] == []


def test_one_of_many_concurrent_runs_gets_the_lease(storage: Storage) -> None:
    gate, inside, refused = threading.Barrier(6), [], []

    def try_it(number: int) -> None:
        gate.wait()
        try:
            with lease.hold_lease(storage):
                inside.append(number)
                time.sleep(1.0)
        except InputError:
            refused.append(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(try_it, range(6)))
    assert (len(inside), len(refused)) == (1, 5)


def test_the_lease_of_a_dead_run_is_taken_over(storage: Storage) -> None:
    put_holder(storage, 7, beat_unix=time.time() - DEAD_SECONDS - 1)
    with lease.hold_lease(storage):
        assert [info.key for info in storage.list("run.lock")] == ["run.lock/000008.json"]
    put_holder(storage, 3)
    with pytest.raises(InputError, match="on elsewhere, process 1, last heartbeat"):
        lease.hold_lease(storage).__enter__()


def test_a_run_that_was_taken_for_dead_stops(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with lease.hold_lease(storage) as held:
        held.check()
        put_holder(storage, 2)
        deadline = time.monotonic() + 10
        with pytest.raises(LeaseLostError, match="taken over"):  # noqa: PT012
            while time.monotonic() < deadline:
                held.check()
                time.sleep(0.02)
    assert [info.key for info in storage.list("run.lock")] == ["run.lock/000002.json"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_two_real_runs_of_which_one_is_rejected_and_one_drained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for number in range(7):
        make_film(films / f"{number}.mp4", Film(seconds=7, width=96, height=64))
    arguments = ["preprocess", str(films), "--out", str(out), *SMALL, "--workers", "1"]
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        wait_for(lambda: list(out.glob("run.lock/*")))
        assert main(arguments) == 2
        assert "another run works on" in capsys.readouterr().err
        wait_for(lambda: list(out.glob("commits/*")))
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=500)
    assert first.returncode == 143
    assert "stopped on request: 0 movies in progress abandoned" in said
    assert "Run the same command again to resume" in said
    assert not list(out.glob("run.lock/*"))
    committed = {path: path.stat().st_mtime_ns for path in out.glob("commits/*")}
    assert 1 <= len(committed) < 7
    assert json.loads((out / "run.json").read_text())["state"] == "drained"
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    assert validate(str(out)).ok


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_prune_lists_what_it_would_remove_and_removes_it(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    out, films = tmp_path / "out", tmp_path / "films"
    dataset = make_toy_dataset(str(out))
    movies = [row["movie_id"] for row in dataset.movies.to_pylist()]
    films.mkdir()
    for movie_id in movies[1:]:
        (films / f"{movie_id}.mp4").touch()
    stray = out / "shards" / movies[1] / f"{movies[1]}-00077.tar"
    stray.write_bytes(b"left over")
    before = sorted(str(path) for path in out.rglob("*"))
    assert main(["prune", str(out), str(films)]) == 0
    assert f"would remove {movies[0]}: 8 clips" in capsys.readouterr().out
    assert sorted(str(path) for path in out.rglob("*")) == before
    assert main(["prune", str(out), str(films), "--yes"]) == 0
    assert "removed 1 movies and 1 unused shards" in capsys.readouterr().out
    assert [row["movie_id"] for row in open_dataset(str(out)).movies.to_pylist()] == movies[1:]
    assert not stray.exists()
    assert not list(out.glob(f"shards/{movies[0]}/*"))
    assert validate(str(out)).ok
    # An empty corpus means a wrong path, never a request to delete everything.
    (tmp_path / "empty").mkdir()
    assert main(["prune", str(out), str(tmp_path / "empty"), "--yes"]) == 2


@pytest.mark.slow
def test_the_hook_drains_the_runs_of_a_dataset_and_no_others(tmp_path: Path) -> None:
    """`python -m pipeline drain OUT` finds runs by their command lines."""
    films = tmp_path / "films"
    films.mkdir()
    for number in range(6):
        make_film(films / f"{number}.mp4", Film(seconds=7, width=96, height=64))
    mine, other = tmp_path / "mine", tmp_path / "other"
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), *SMALL, "--workers", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert drain.local_runs(str(mine)) == set()
    with subprocess.Popen([*command, "--out", str(mine)], **quiet) as run:
        wait_for(lambda: list(mine.glob("commits/*")))
        assert drain.local_runs(str(mine)) == {run.pid}
        assert drain.local_runs(str(other)) == set()
        assert drain.drain_local_runs(str(other)) == set()
        assert run.poll() is None
        assert drain.drain_local_runs(str(mine)) == set()
    assert run.returncode == 143
    assert json.loads((mine / "run.json").read_text())["state"] == "drained"
