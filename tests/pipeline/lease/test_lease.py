"""One run at a time on a dataset."""

from __future__ import annotations

import dataclasses
import json
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import lease
from pipeline.lease.fence import Fence
from shards_spec.errors import InputError
from shards_spec.storage import ObjectInfo, Storage
from tests.support.samples import mostly_slow

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


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


DAMAGED = [b"", b"{}", b"[1]", b"\xff", b'{"owner": 1}', b"[" * 100000]


@pytest.mark.parametrize("content", mostly_slow(DAMAGED, (b"", b"[" * 100000)))
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
