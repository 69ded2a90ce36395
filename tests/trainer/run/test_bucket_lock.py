"""One launch at a time in a run folder in a bucket."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.errors import InputError, StorageError
from shards_spec.storage import Storage
from trainer.ranks import World
from trainer.run import bucket, open_run_folder
from trainer.run.bucket import LOCK_KEY, RunFolder

ALONE = World(0, 1, torch.device("cpu"))


def lock(**values: Any) -> bytes:
    content = {"token": "x", "host": "elsewhere", "pid": 7, "expires_unix": time.time() + 1e6}
    return json.dumps({**content, **values}).encode()


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (lock(), True),
        (lock(host=socket.gethostname(), pid=os.getpid()), True),
        (lock(expires_unix=time.time() - 1), False),
        (lock(host=socket.gethostname(), pid=2**22 + 7), False),
        (b"[1]", False),
        (b"\xff", False),
        (lock(pid="x"), False),
    ],
    ids=["live", "own host", "expired", "dead process", "list", "binary", "no process id"],
)
def test_a_lock_holds_until_it_expires(s3_bucket: str, content: bytes, refused: bool) -> None:
    storage = Storage(f"{s3_bucket}/locked")
    storage.put(LOCK_KEY, content)
    if refused:
        with pytest.raises(InputError, match="another launch is training"):  # noqa: SIM117
            with open_run_folder(storage.uri, ALONE):
                raise AssertionError
        assert storage.get(LOCK_KEY) == content
    else:
        with open_run_folder(storage.uri, ALONE):
            assert json.loads(storage.get(LOCK_KEY))["pid"] == os.getpid()
        assert not storage.exists(LOCK_KEY)


def test_a_launch_that_lost_its_lock_writes_nothing(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RENEWAL_SECONDS", 0.01)
    storage = Storage(f"{s3_bucket}/lost")
    with open_run_folder(storage.uri, ALONE) as folder:
        (folder.path / "config.json").write_text("{}")
        until = time.monotonic() + 60
        while not folder._lost and time.monotonic() < until:
            # Again and again: a renewal that is under way may replace it.
            storage.put(LOCK_KEY, lock())
            time.sleep(0.01)
        with pytest.raises(InputError, match="another launch has taken over"):
            folder.publish()
    assert not storage.exists("config.json")
    assert json.loads(storage.get(LOCK_KEY))["token"] == "x"


def test_a_store_that_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((StorageError, InputError)):
        RunFolder(tmp_path, "http://127.0.0.1:9/none").publish()
