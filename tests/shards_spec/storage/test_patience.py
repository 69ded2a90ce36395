"""Operations wait for a store that does not answer for a while, and only for that."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from moto.server import ThreadedMotoServer

from shards_spec.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    OutageError,
    StorageError,
    StoreUnavailableError,
)
from shards_spec.storage import Storage
from shards_spec.storage.failures import explained
from shards_spec.storage.patience import patiently
from tests.conftest import set_aws


def failing(times: int, error: Exception) -> Callable[[], str]:
    """Fails some times, then succeeds."""
    left = [error] * times

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    return work


def test_only_unavailable_stores_are_waited_for() -> None:
    assert patiently(failing(2, StoreUnavailableError("x")), 60.0) == "done"
    with pytest.raises(StoreUnavailableError, match=r"^x$"):
        patiently(failing(1, StoreUnavailableError("x")), 0.0)
    for error in (ObjectNotFoundError("x"), AccessDeniedError("x"), StorageError("x")):
        with pytest.raises(type(error)):
            patiently(failing(1, error), 60.0)


def test_patience_ends_and_says_how_long_it_was() -> None:
    with pytest.raises(OutageError, match=r"^x; the store did not recover within 0\.1 s"):
        patiently(failing(10**6, StoreUnavailableError("x")), 0.1)


@pytest.mark.parametrize(
    ("reason", "is_outage"),
    [
        ("Error performing PUT - HTTP error: error sending request", True),
        ("Server returned non-2xx status code: 500 Internal Server Error: ", True),
        ("Server returned non-2xx status code: 503 Slow Down", True),
        ("Server returned non-2xx status code: 429 Too Many Requests", True),
        ("Server returned non-2xx status code: 408 Request Timeout", True),
        ("error decoding response body", True),
        ("Server returned non-2xx status code: 400 Bad Request", False),
        ("Server returned non-2xx status code: 409 Conflict", False),
        ("Server returned non-2xx status code: 403 Forbidden", False),
        ("Server returned non-2xx status code: 404 Not Found", False),
        ("No space left on device (os error 28)", False),
    ],
)
def test_which_failures_are_outages(reason: str, is_outage: bool) -> None:
    assert isinstance(explained("where", reason), StoreUnavailableError) == is_outage


@pytest.fixture
def late_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], None]]]:
    """A bucket on a server that does not run yet, and how to start it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    set_aws(monkeypatch, f"http://127.0.0.1:{port}")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)

    def start() -> None:
        import boto3

        server.start()
        boto3.client("s3").create_bucket(Bucket="late")

    yield "s3://late/out", start
    server.stop()


def test_all_operations_survive_an_outage(
    late_store: tuple[str, Callable[[], None]],
) -> None:
    uri, start = late_store
    storage = pickle.loads(pickle.dumps(Storage(uri, max_retries=0).with_patience(120.0)))
    with pytest.raises(StoreUnavailableError):
        storage.with_patience(0.0).put("a", b"x")
    timer = threading.Timer(1.0, start)
    timer.start()
    assert not storage.exists("a")
    timer.join()
    storage.put("a", b"x")
    assert [info.key for info in storage.list()] == ["a"]


def test_the_guard_is_asked_before_each_attempt() -> None:
    """A write that is repeated for minutes must not be carried out by a run that lost its lease."""
    asked: list[str] = []

    def guard(key: str) -> None:
        asked.append(key)
        if len(asked) == 3:
            raise AccessDeniedError("lost")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        set_aws(patch, f"http://127.0.0.1:{port}")
        storage = Storage("s3://b/out", max_retries=0).with_patience(60.0).guarded(guard)
        with pytest.raises(AccessDeniedError, match="lost"):
            storage.put("commits/a.parquet", b"x")
    assert asked == ["commits/a.parquet"] * 3
