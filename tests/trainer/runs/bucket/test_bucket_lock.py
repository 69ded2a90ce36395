"""The lock of run folders in buckets: on stores with and without conditional creation."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, ReelshardsError, StorageError
from shards_spec.storage import Storage
from tests.support.stores import s3_servers
from trainer.config import TrainConfig
from trainer.ranks.world import World
from trainer.runs.bucket import folder as bucket
from trainer.runs.bucket import lock
from trainer.runs.bucket.folder import RunFolder, open_run_folder
from trainer.runs.bucket.lock import LOCKS, BucketLock, Record
from trainer.runs.lock import lock_run
from trainer.train import train

ALONE = World(0, 1, torch.device("cpu"))


def record(**values: Any) -> bytes:
    content = {
        "token": "x",
        "host": "elsewhere",
        "machine": "",
        "pid": 7,
        "expires_unix": time.time() + 1e6,
        "holds": True,
    }
    return json.dumps({**content, **values}).encode()


def keys(storage: Storage) -> list[str]:
    return [info.key for info in storage.list(LOCKS)]


def ignore_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `create` replace existing objects, as servers do that ignore `If-None-Match`."""

    def create(self: Storage, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True

    monkeypatch.setattr(Storage, "create", create)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.2)


HERE = {"host": socket.gethostname(), "machine": lock._machine()}


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (record(), True),
        (record(holds=False), True),
        (record(**HERE, pid=os.getpid()), True),
        (record(expires_unix=time.time() - 1), False),
        (record(**HERE, pid=2**22 + 7), not lock._machine()),
        (record(host=socket.gethostname(), pid=2**22 + 7), True),
        (b"[1]", False),
        (b"\xff", False),
        (record(pid="x"), False),
        (record(expires_unix="soon"), False),
        (b"{}", False),
    ],
    ids=[
        *("live", "claim", "own host", "expired", "dead process", "same name elsewhere"),
        *("list", "binary", "no process id", "no time", "empty"),
    ],
)
@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "ignores"])
def test_a_lock_holds_until_it_expires(
    s3_bucket: str,
    content: bytes,
    refused: bool,
    is_exclusive: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_exclusive:
        ignore_the_condition(monkeypatch)
    storage = Storage(f"{s3_bucket}/{'locked' if is_exclusive else 'claimed'}")
    storage.put(f"{LOCKS}/000003.json", content)
    if refused:
        with pytest.raises(InputError, match="another launch is training"), BucketLock(storage):
            raise AssertionError
        assert storage.get(f"{LOCKS}/000003.json") == content
        assert keys(storage) == [f"{LOCKS}/000003.json"]
    else:
        with BucketLock(storage):
            own = [key for key in keys(storage) if key.startswith(f"{LOCKS}/000004")]
            assert keys(storage) == own
            assert json.loads(storage.get(own[0]))["pid"] == os.getpid()
        assert keys(storage) == []


class Launches:
    """Launches that take a lock at the same moment, in threads."""

    def __init__(self, storage: Storage, number: int) -> None:
        self.refused: list[str] = []
        self.num_holding = self.most_holding = self.num_won = 0
        self._mutex, self._start = threading.Lock(), threading.Barrier(number)
        threads = [threading.Thread(target=self._launch, args=(storage,)) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _launch(self, storage: Storage) -> None:
        self._start.wait()
        try:
            with BucketLock(storage):
                with self._mutex:
                    self.num_won += 1
                    self.num_holding += 1
                    self.most_holding = max(self.most_holding, self.num_holding)
                # Until all others have been refused, or hold it too.
                until = time.monotonic() + 20
                while time.monotonic() < until and not self._is_decided():
                    time.sleep(0.01)
                with self._mutex:
                    self.num_holding -= 1
        except InputError as error:
            with self._mutex:
                self.refused.append(str(error))

    def _is_decided(self) -> bool:
        with self._mutex:
            return len(self.refused) + self.num_won == self._start.parties


@pytest.mark.parametrize("has_dead_lock", [False, True])
@pytest.mark.parametrize("is_exclusive", [True, False], ids=["exclusive", "ignores"])
def test_of_many_launches_at_most_one_trains(
    s3_bucket: str, has_dead_lock: bool, is_exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_exclusive:
        ignore_the_condition(monkeypatch)
    storage = Storage(f"{s3_bucket}/race-{has_dead_lock}-{is_exclusive}")
    if has_dead_lock:
        storage.put(f"{LOCKS}/000001.json", record(expires_unix=1.0))
    launches = Launches(storage, 4)
    assert launches.most_holding <= 1
    assert all("another launch" in text for text in launches.refused)
    # Nobody is locked out afterwards.
    with BucketLock(storage) as held:
        held.check()


def test_a_server_that_ignores_the_condition_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.2)
    with s3_servers.server("rclone", tmp_path) as (uri, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        storage = Storage(f"{uri}/run")
        with BucketLock(storage):
            assert len(keys(storage)[0]) > len(f"{LOCKS}/000001.json"), "a claim of its own"
            with pytest.raises(InputError, match="another launch is training"), BucketLock(storage):
                raise AssertionError
        assert keys(storage) == []


def test_a_launch_that_lost_its_lock_writes_nothing(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/lost")
    with open_run_folder(storage.uri, ALONE) as folder:
        (folder.path / "config.json").write_text("{}")
        # Another launch took this one for dead: its record is gone, the other's is there.
        storage.delete(f"{LOCKS}/000001.json")
        storage.put(f"{LOCKS}/000002.json", record())
        with pytest.raises(InputError, match="another launch has taken over"):
            folder.publish()
    assert not storage.exists("config.json")
    assert keys(storage) == [f"{LOCKS}/000002.json"]


def test_a_renewal_sees_that_the_lock_is_lost(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEWAL_SECONDS", 0.01)
    storage = Storage(f"{s3_bucket}/renewed")
    with BucketLock(storage) as held:
        first = Record(**json.loads(storage.get(f"{LOCKS}/000001.json"))).expires_unix
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if json.loads(storage.get(f"{LOCKS}/000001.json"))["expires_unix"] > first:
                break
        else:
            raise AssertionError("it was not renewed")
        storage.put(f"{LOCKS}/000009.json", record())
        while not held.is_lost and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(InputError, match="another launch has taken over"):
            held.check()


# -- stores that refuse writes ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_bucket_that_refuses_keeps_the_run_on_this_machine(
    toy_data: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Permission to write is lost after the second checkpoint, and comes back."""
    monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 0.1)
    config = dataclasses.replace(tiny_config, steps=6, checkpoint_every=2, eval_clips=16)
    run, put = f"{s3_bucket}/refused", Storage.put
    refused: list[str] = []

    def refuse(self: Storage, key: str, data: Any) -> None:
        if refused or "step-00000004" in key:
            refused.append(key)
            raise StorageError(f"could not write {self.uri_of(key)}: access denied")
        put(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", refuse)
        patch.setattr(bucket.tempfile, "mkdtemp", lambda prefix: str(make(tmp_path / "kept")))
        with pytest.raises(ReelshardsError, match=r"access denied.* is kept in ") as caught:
            train(toy_data.storage.uri, run, config)
    kept = tmp_path / "kept" / "run"
    assert f"resume it with --run {kept}" in str(caught.value)
    names = {info.key for info in Storage(run).list("checkpoints")}
    assert names == {"checkpoints/step-00000002.pt"}, "what was published before is intact"
    newest = max(path.name for path in (kept / "checkpoints").glob("step-*"))
    assert newest >= "step-00000004.pt"
    assert train(toy_data.storage.uri, kept, config).steps_done == 6
    # In the bucket it resumes from what the bucket has.
    assert train(toy_data.storage.uri, run, config).steps_done == 6


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((StorageError, InputError)):
        RunFolder(tmp_path, "http://127.0.0.1:9/none").publish()


def make(path: Path) -> Path:
    path.mkdir()
    return path


def test_nothing_is_left_on_this_machine_otherwise(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket.tempfile, "mkdtemp", lambda prefix: str(make(tmp_path / "copy")))
    with open_run_folder(f"{s3_bucket}/fine", ALONE) as folder, lock_run(folder.path, ALONE):
        (folder.path / "config.json").write_text("{}")
    assert not (tmp_path / "copy").exists()
    assert Storage(f"{s3_bucket}/fine").exists("config.json")
