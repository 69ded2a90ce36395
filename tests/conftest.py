"""Fixtures that tests of all packages share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from hypothesis import settings

from shards_spec.dataset.reader import Dataset
from shards_spec.process import end_process
from tests.support.datasets import toy_dataset

# A machine under load may take seconds for an example that usually takes a millisecond.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_session = pytest.StashKey[pytest.Session]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep the session, whose exit status is final only at the very end."""
    session.config.stash[_session] = session


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End a process that used Ray before its native threads run into interpreter shutdown."""
    session = config.stash.get(_session, None)
    if session is not None and "ray" in sys.modules:
        end_process(int(session.exitstatus))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the one Ray that they share come last: it is started once, and no other test that
    runs in this process meets it instead of a Ray of its own.

    Whole files come last, as the test processes of `make test` take tests file by file.
    """
    files = {item.path for item in items if _uses_local_ray(item)}
    items.sort(key=lambda item: (item.path in files, _uses_local_ray(item)))


def _uses_local_ray(item: pytest.Item) -> bool:
    return "local_ray" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _no_flushing() -> Iterator[None]:
    """Tests do not wait for the disk, which takes up to half of their time: none of them includes
    a power failure. What is flushed, and in which order, is tested with the storage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """Rows, frames and classes of the toy movies: `tests/support/datasets/toy_dataset.py`."""
    return toy_dataset


@pytest.fixture(scope="session")
def make_toy_dataset() -> Callable[..., Dataset]:
    """`write_toy_dataset(uri, *, num_movies=3, clips_per_movie=8, height=32, width=48, ...)`."""
    write: Callable[..., Dataset] = toy_dataset.write_toy_dataset
    return write


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 server on loopback."""
    # Imported here, so that all other tests run on machines without moto.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def local_ray(s3_endpoint: str) -> Iterator[None]:
    """A Ray cluster that runs share; its workers find the buckets of `s3_bucket`."""
    # Tests that do not need Ray do not wait for its import.
    from tests.support.launch.rays import running

    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            set_aws(patch, s3_endpoint)
            stack.enter_context(running())
        yield


@pytest.fixture
def s3_bucket(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """A new bucket, `s3://...`; the environment is set so that all code finds it."""
    import boto3

    set_aws(monkeypatch, s3_endpoint)
    bucket = f"bucket-{abs(hash(request.node.nodeid)):x}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


def set_aws(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Environment variables with which all code finds the S3 server on loopback."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
