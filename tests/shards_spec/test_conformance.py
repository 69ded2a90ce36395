"""`check-store`: what it finds on real servers and on stores with one fault each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards_spec.__main__ import main
from shards_spec.conformance import check_store
from shards_spec.errors import StorageError
from shards_spec.storage import ObjectInfo, Storage
from tests.support.stores.s3_servers import KINDS, server


@pytest.fixture(params=["folder", "bucket"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder or bucket that other files are in, too."""
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue('s3_bucket')}/out"


def test_what_works_is_said_and_nothing_is_left(
    uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(uri, create=True)
    storage.put("shards/a.tar", b"x")
    assert main(["check-store", uri]) == 0
    assert "lease: conditional creation" in capsys.readouterr().out
    assert main(["check-store", uri, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert [check["name"] for check in report["checks"] if check["problem"]] == []
    assert [info.key for info in storage.list()] == ["shards/a.tar"]
    if storage.is_local:
        assert [path.name for path in storage.local_path().iterdir()] == ["shards"]


class Overwriting(Storage):
    """Ignores `If-None-Match`."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class Refusing(Storage):
    """Refuses the second creation, but carries it out."""

    def create(self, key: str, data: bytes) -> bool:
        existed = self.exists(key)
        self.put(key, data)
        return not existed


class Unconditional(Storage):
    """Does not know conditional requests."""

    def create(self, key: str, data: bytes) -> bool:
        raise StorageError("501 Not Implemented")


class Late(Storage):
    """Does not list what was written last."""

    last = ""

    def put(self, key: str, data: bytes | bytearray | memoryview | Path) -> None:
        super().put(key, data)
        self.last = key

    def create(self, key: str, data: bytes) -> bool:
        self.last = key
        return super().create(key, data)

    def list(self, prefix: str = "", *_: object) -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix) if info.key != self.last)


class Whole(Storage):
    """Answers requests for a range with the whole object."""

    def get_range(self, key: str, start: int, length: int) -> memoryview:
        return memoryview(self.get(key))


class Forgetful(Storage):
    """Loses what is larger than one part of an upload."""

    def put(self, key: str, data: bytes | bytearray | memoryview | Path) -> None:
        assert not isinstance(data, Path)
        super().put(key, bytes(data)[: 5 << 20])


class Keeping(Storage):
    """Does not delete."""

    def delete(self, key: str) -> None:
        return


@pytest.mark.parametrize(
    ("kind", "failed", "protocol"),
    [
        (Overwriting, {"create only if absent"}, "claims"),
        (Refusing, {"create only if absent"}, "claims"),
        (Unconditional, {"create only if absent"}, "claims"),
        (Late, {"list after write", "list after delete", "odd keys"}, "none"),
        (Whole, {"ranges", "ranges past the end", "large objects"}, "conditional"),
        (Forgetful, {"large objects"}, "conditional"),
        (Keeping, {"list after delete", "delete twice"}, "conditional"),
    ],
)
def test_each_fault_is_found(
    tmp_path: Path, kind: Callable[..., Storage], failed: set[str], protocol: str
) -> None:
    checks, traits = check_store(kind(str(tmp_path), create=True))
    assert {check.name for check in checks if check.problem} == failed
    assert traits is not None
    assert traits.lease_protocol.startswith(protocol)


def test_a_store_that_cannot_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Storage, key: str, data: bytes) -> None:
        raise StorageError(f"{key}: denied")

    monkeypatch.setattr(Storage, "put", refuse)
    monkeypatch.setattr(Storage, "create", refuse)
    assert main(["check-store", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED" in printed
    assert "the store cannot be written to" in printed
    assert main(["check-store", "gopher://x/y"]) == 2
    assert main(["check-store", "http://127.0.0.1:9/x"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_servers_of_other_makes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is used with the protocol that fits it, and is left empty."""
    with server(kind, tmp_path) as (uri, variables):
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        storage = Storage(f"{uri}/some/prefix")
        checks, traits = check_store(storage)
        problems = {check.name for check in checks if check.problem and check.is_required}
        # A range of one byte at the start is answered with the whole object.
        assert problems == ({"ranges"} if kind == "s3rver" else set())
        assert traits is not None
        assert traits.lists_at_once
        assert traits.creates_exclusively == (kind in ("moto", "seaweedfs"))
        assert list(storage.list()) == []
