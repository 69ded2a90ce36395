"""Local files are on the disk, with their folders, before anything that depends on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shards_spec.errors import ObjectExistsError
from shards_spec.storage import Storage, temporary_files
from shards_spec.storage.local_file import write_file

#: That of the system; other tests do not wait for the disk.
FSYNC = os.fsync


class Disk:
    """What a power failure would leave: contents and names are kept only once they are flushed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        replace, link = Path.replace, os.link

        def fsync(handle: int) -> None:
            name = os.readlink(f"/proc/self/fd/{handle}")
            self.calls.append(f"flush {Path(name).name.partition('#')[0]}")
            FSYNC(handle)

        def renamed(path: Path, target: Path) -> Path:
            self.calls.append(f"name {target.name}")
            return replace(path, target)

        def linked(path: Path, target: Path) -> None:
            self.calls.append(f"name {target.name}")
            link(path, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", renamed)
        monkeypatch.setattr(os, "link", linked)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    if not Path("/proc/self/fd").exists():
        pytest.skip("names of open files are read from /proc")
    return Disk(monkeypatch)


@pytest.mark.parametrize("source", ["bytes", "file"])
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_order_of_a_write(tmp_path: Path, disk: Disk, source: str, exclusive: bool) -> None:
    data: bytes | Path = b"12345"
    if source == "file":
        data = tmp_path / "source"
        data.write_bytes(b"12345")
    root = tmp_path / "root"
    write_file(root / "a" / "b", data, exclusive=exclusive)
    assert disk.calls == [
        f"flush {tmp_path.name}",
        "flush root",
        "flush b",
        "name b",
        "flush a",
    ]
    assert (root / "a" / "b").read_bytes() == b"12345"
    assert list(temporary_files(root)) == []


def test_everything_a_commit_needs_is_flushed_before_it(tmp_path: Path, disk: Disk) -> None:
    storage = Storage(str(tmp_path / "out"), create=True)
    storage.put("shards/m/m-00000.tar", b"x" * 1000)
    storage.put("commits/m.parquet", b"y")
    calls = disk.calls
    assert calls.index("name m-00000.tar") < calls.index("flush m") < calls.index("name m.parquet")


def test_an_exclusive_write_changes_nothing_that_exists(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), create=True)
    assert storage.create("a/b", b"first")
    assert not storage.create("a/b", b"second")
    assert storage.get("a/b") == b"first"
    assert list(temporary_files(tmp_path)) == []
    with pytest.raises(ObjectExistsError), storage._errors("write", "a/b"):
        write_file(tmp_path / "a" / "b", b"third", exclusive=True)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_deleting_the_last_file_deletes_its_folders_but_not_the_root(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "root"), create=True)
    for key in ("a/b/one", "a/b/two", "a/three"):
        storage.put(key, b"x")
    storage.delete("a/b/one")
    assert (tmp_path / "root/a/b").is_dir()
    storage.delete("a/b/two")
    assert not (tmp_path / "root/a/b").exists()
    storage.delete("a/three")
    assert list((tmp_path / "root").iterdir()) == []


def test_files_that_were_being_written_are_not_listed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), create=True)
    storage.put("a/done", b"x")
    for name in ("a/done#1", "a/half#123456789", "run.lock#7"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a/name#with-hash").write_bytes(b"x")
    assert {path.name for path in temporary_files(tmp_path)} == {
        "done#1",
        "half#123456789",
        "run.lock#7",
    }
    assert list(temporary_files(tmp_path, older_than_seconds=1000)) == []
    assert {info.key for info in storage.list()} == {"a/done", "a/name#with-hash"}
