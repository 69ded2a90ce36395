"""One run at a time on a dataset; movies removed from the corpus can be pruned."""

from __future__ import annotations

import dataclasses
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.run import drain, lease
from pipeline.run.lease.fence import Fence
from shards_spec.errors import InputError
from shards_spec.reader import Dataset, open_dataset
from shards_spec.storage import ObjectInfo, Storage
from shards_spec.validation.validator import validate
from tests.support.films.media import Film, make_film

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]


#: The protocol with shorter intervals.
QUICK = lease.Timing(beat=0.1, dead=120.0, stale=90.0, watch=0.5, valid=0.0, settle=0.2)


class Overwriting(Storage):
    """A store that ignores `If-None-Match`: whatever is created exists afterwards."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


@pytest.fixture(params=["folder", "bucket", "overwriting"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A dataset's storage: on disk, in a bucket, and without exclusive creation."""
    if request.param == "bucket":
        return Storage(f"{request.getfixturevalue('s3_bucket')}/out")
    kind = Overwriting if request.param == "overwriting" else Storage
    return kind(str(tmp_path / "out"), create=True)


def put_holder(storage: Storage, key: str, **changes: object) -> None:
    """Store a record of another run, with the given changes."""
    holder = lease.Holder("other", "elsewhere", "boot", 1, 0.0, time.time())
    values = dataclasses.asdict(holder) | changes
    storage.put(f"run.lock/{key}.json", json.dumps(values).encode())


def silent(seconds: float) -> dict[str, float]:
    return {"beat_unix": time.time() - seconds}


def keys_of(storage: Storage) -> list[str]:
    return [info.key for info in storage.list("run.lock")]


def test_only_one_run_holds_the_lease(storage: Storage) -> None:
    with lease.hold_lease(storage, QUICK):
        with (
            pytest.raises(InputError, match="another run works on"),
            lease.hold_lease(storage, QUICK),
        ):
            pass
        assert lease.holder_of(storage) is not None
    assert lease.holder_of(storage) is None
    assert [info.key for info in storage.list()] == []


def test_one_of_many_concurrent_runs_gets_the_lease(storage: Storage) -> None:
    gate, inside, refused = threading.Barrier(6), [], []
    ended = threading.Barrier(6, timeout=60)

    def attempt(number: int) -> None:
        gate.wait()
        try:
            with lease.hold_lease(storage, QUICK):
                inside.append(number)
                ended.wait()
        except InputError:
            refused.append(number)
            ended.wait()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, range(6)))
    assert (len(inside), len(refused)) == (1, 5)
    assert keys_of(storage) == []


def test_the_lease_of_a_dead_run_is_taken_over(storage: Storage) -> None:
    put_holder(storage, "000007", **silent(QUICK.dead + 1))
    put_holder(storage, "000007-" + "a" * 32, **silent(QUICK.dead + 1))
    with lease.hold_lease(storage, QUICK):
        (key,) = keys_of(storage)
        assert key.startswith("run.lock/000008")
    put_holder(storage, "000003")
    with (
        pytest.raises(InputError, match="on elsewhere, process 1, last heartbeat"),
        lease.hold_lease(storage, QUICK),
    ):
        pass


def test_a_run_whose_clock_is_behind_is_not_taken_for_dead(storage: Storage) -> None:
    """Its heartbeats look old, but they come."""
    timing = dataclasses.replace(QUICK, watch=60.0)
    put_holder(storage, "000001", **silent(1000))
    ended = threading.Event()

    def beat() -> None:
        for number in range(10**9):
            if ended.wait(0.05):
                return
            put_holder(storage, "000001", **silent(1000 + number))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with (
            pytest.raises(InputError, match="another run works on"),
            lease.hold_lease(storage, timing),
        ):
            pass
    finally:
        ended.set()
        thread.join()
    assert keys_of(storage) == ["run.lock/000001.json"]


def until_lost(held: lease.Lease) -> str:
    """The message of the error with which the lease is lost."""
    for _ in range(3000):
        try:
            held.check()
        except lease.LeaseLostError as error:
            return str(error)
        time.sleep(0.01)
    raise AssertionError("the lease was not lost")


def test_a_run_that_was_taken_for_dead_stops_and_writes_nothing_more(storage: Storage) -> None:
    with lease.hold_lease(storage, QUICK) as held:
        fenced = held.fenced(storage)
        fenced.put("commits/before.parquet", b"x")
        (own,) = keys_of(storage)
        put_holder(storage, "000002")
        storage.delete(own)
        assert "taken over" in until_lost(held)
        # Also in a worker, which knows nothing of the driver.
        for store in (fenced, pickle.loads(pickle.dumps(fenced))):
            for write in (
                lambda store=store: store.put("commits/after.parquet", b"x"),
                lambda store=store: store.create("dataset.json", b"x"),
                lambda store=store: store.delete("commits/before.parquet"),
            ):
                with pytest.raises(lease.LeaseLostError, match="taken over"):
                    write()
    assert [info.key for info in storage.list()] == [
        "commits/before.parquet",
        "run.lock/000002.json",
    ]


def test_a_record_with_another_owner_under_the_own_key_is_noticed(storage: Storage) -> None:
    """Stores that ignore conditions let a second run write the same key."""
    with lease.hold_lease(storage, QUICK) as held:
        (own,) = keys_of(storage)
        put_holder(storage, own.removeprefix("run.lock/").removesuffix(".json"))
        assert "taken over" in until_lost(held)
    assert keys_of(storage) == [own], "the other run keeps its record"


def test_a_run_that_was_paused_does_not_write_before_it_has_looked(storage: Storage) -> None:
    """Its own last heartbeat is old: it waits for the next one, or stops."""
    timing = dataclasses.replace(QUICK, beat=0.2, dead=0.6)
    with lease.hold_lease(storage, dataclasses.replace(QUICK, beat=3600.0)) as held:
        fence = Fence(storage, keys_of(storage)[0], owner_of(storage), timing)
        record = lease.records.read_holder(storage, keys_of(storage)[0])
        assert record is not None
        late = dataclasses.replace(record, beat_unix=time.time() - 100)
        lease.records.write_holder(storage, keys_of(storage)[0], late)
        with pytest.raises(lease.LeaseLostError, match=r"has sent no heartbeat for 10\d s"):
            storage.guarded(fence).put("commits/a.parquet", b"x")
        assert not storage.exists("commits/a.parquet")
        lease.records.write_holder(storage, keys_of(storage)[0], record)
        storage.guarded(fence).put("commits/a.parquet", b"x")
        held.check()


def owner_of(storage: Storage) -> str:
    holder = lease.holder_of(storage)
    assert holder is not None
    return holder.owner


def test_a_lease_that_was_deleted_by_hand_is_named(storage: Storage) -> None:
    with lease.hold_lease(storage, QUICK) as held:
        storage.delete(keys_of(storage)[0])
        assert "deleted by hand" in until_lost(held)


@pytest.mark.parametrize(
    "name", ["notes.txt", "1.json", "000001.json.bak", "latest/000001.json", "000001-me.json"]
)
def test_unknown_objects_in_the_lock_folder_are_left_alone(storage: Storage, name: str) -> None:
    storage.put(f"run.lock/{name}", b"\x00[")
    with lease.hold_lease(storage, QUICK) as held:
        held.check()
        assert lease.holder_of(storage) is not None
    assert keys_of(storage) == [f"run.lock/{name}"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"owner": 1}', b"[" * 100000])
def test_damaged_records_count_as_dead(storage: Storage, content: bytes) -> None:
    """After a power failure a record may be empty."""
    storage.put("run.lock/000004.json", content)
    assert lease.holder_of(storage) is None
    with lease.hold_lease(storage, QUICK):
        (key,) = keys_of(storage)
        assert key.startswith("run.lock/000005")


def test_a_store_that_lists_late_is_refused(tmp_path: Path) -> None:
    class Late(Storage):
        def list(self, prefix: str = "", *_: object) -> Iterator[ObjectInfo]:
            return iter(())

    storage = Late(str(tmp_path), create=True)
    with (
        pytest.raises(InputError, match="does not list what was just written"),
        lease.hold_lease(storage, QUICK),
    ):
        pass
    assert list(Storage(str(tmp_path)).list()) == []


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
