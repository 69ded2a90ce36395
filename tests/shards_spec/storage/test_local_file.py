"""Ranges of local files: read directly if the key is a plain path, otherwise by obstore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from shards_spec.errors import StorageError
from shards_spec.storage.local_file import is_plain_key, read_range, write_file
from shards_spec.storage.storage import Storage


@pytest.mark.parametrize(
    ("key", "is_plain"),
    [
        ("shards/m/m-00000.tar", True),
        ("index/clips.parquet", True),
        ("../secret", False),
        ("shards/../../secret", False),
        ("shards/.hidden", False),
        ("/etc/passwd", False),
        ("a b", False),
        ("a%2e", False),
        ("a//b", False),
        ("a/", False),
        ("", False),
    ],
)
def test_plain_keys(key: str, is_plain: bool) -> None:
    assert is_plain_key(key) == is_plain


def test_ranges(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    assert read_range(path, 10, 5) == bytes(range(10, 15))
    assert read_range(path, 95, 10) == bytes(range(95, 100))
    assert read_range(path, 200, 10) == b""
    with pytest.raises(FileNotFoundError):
        read_range(tmp_path / "no", 0, 1)


def test_short_system_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda file, length, at: whole(file, min(length, 7), at))
    assert read_range(path, 3, 50) == bytes(range(3, 53))
    assert read_range(path, 90, 50) == bytes(range(90, 100))


def test_no_key_escapes_the_storage_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    storage = Storage(str(tmp_path / "data"), create=True)
    storage.put("x", b"y")
    for key in ("../secret", "x/../../secret", str(tmp_path / "secret")):
        with pytest.raises(StorageError):
            storage.get_range(key, 0, 6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_folder_that_was_removed_and_made_again_is_written_to(
    tmp_path: Path, exclusive: bool
) -> None:
    """As when another process deletes the last file of the folder, and a third one adds one."""
    path = tmp_path / "run.lock" / "000001.json"
    calls = []

    def replace_folder() -> None:
        calls.append(path)
        if len(calls) == 1:
            shutil.rmtree(path.parent)
            path.parent.mkdir()

    write_file(path, b"{}", exclusive=exclusive, check=replace_folder)
    assert path.read_bytes() == b"{}"
    assert len(calls) == 2
