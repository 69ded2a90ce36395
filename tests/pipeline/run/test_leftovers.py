"""What killed runs leave behind is removed by the next run, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline import lease
from pipeline.run import leftovers
from shards_spec.storage import Storage
from shards_spec.storage.owned_folder import delete_abandoned_folders, owned_folder


def test_temporary_files_of_a_local_dataset(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), create=True)
    kept = ["commits/a.parquet", "shards/a/a-00000.tar", "run.lock/000001.json"]
    for key in kept:
        storage.put(key, b"x")
    for name in ("commits/a.parquet#1", "dataset.json#12345", "shards/a/a-00001.tar#99"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "run.lock" / "000002.json#1").write_bytes(b"being written by another run")
    old = tmp_path / "run.lock" / "000001.json#7"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert leftovers.delete_temporary_files(storage) == 4
    assert [info.key for info in storage.list()] == sorted(kept)
    assert (tmp_path / "run.lock" / "000002.json#1").exists()


def test_shards_that_nothing_lists(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), create=True)
    for number in range(3):
        storage.put(f"shards/a/a-0000{number}.tar", b"x")
    others = ["shards/README", "shards/a/notes.txt", "shards/a/b-00000.tar", "shards/a-00000.tar"]
    for key in others:
        storage.put(key, b"x")
    assert leftovers.delete_unlisted_shards(storage, {"shards/a/a-00001.tar"}) == 2
    keys = {info.key for info in storage.list()}
    assert keys == {"shards/a/a-00001.tar", *others}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folders_of_processes_that_were_killed(temporary: Path) -> None:
    code = (
        "import sys\nfrom shards_spec.storage.owned_folder import owned_folder\n"
        "with owned_folder('mine-') as folder:\n"
        "    print(folder, flush=True)\n    sys.stdin.read()"
    )
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (folder / "shard.tar").write_bytes(b"x")
        assert delete_abandoned_folders("mine-", 0.0) == 0, "its process is alive"
        process.kill()
    assert folder.exists()
    assert delete_abandoned_folders("mine-", 3600.0) == 0, "it may not be locked yet"
    assert delete_abandoned_folders("mine-", 0.0) == 1
    assert not folder.exists()


def test_links_and_files_of_others_are_left_alone(temporary: Path) -> None:
    target = temporary / "elsewhere"
    target.mkdir()
    (target / "file").write_bytes(b"x")
    (temporary / "mine-link").symlink_to(target)
    (temporary / "mine-file").write_bytes(b"x")
    with owned_folder("mine-") as own:
        assert delete_abandoned_folders("mine-", 0.0) == 0
        assert Path(own).exists()
    assert sorted(path.name for path in temporary.iterdir()) == [
        "elsewhere",
        "mine-file",
        "mine-link",
    ]
    assert (target / "file").exists()


def test_probes_of_killed_runs_do_not_count_as_records(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), create=True)
    storage.put("run.lock/probe-1-abc", b"first")
    assert lease.holder_of(storage) is None
    timing = lease.Timing(beat=3600.0, watch=0.1, settle=0.1)
    with lease.hold_lease(storage, timing):
        assert [info.key for info in storage.list("run.lock")] == ["run.lock/000001.json"]
