"""Run folders in buckets: a local copy that is trained in, and published at every checkpoint.

    s3://bucket/runs/first/.run-lock/          one launch at a time; see in_bucket/lock.py
                           config.json, movies.json, metrics.jsonl, checkpoints/, tensorboard/

A launch downloads what it needs to resume: settings, metrics and the newest checkpoint. Files are
published in an order in which every state of the bucket can be resumed from: a checkpoint only
after the settings and the metric lines that belong to it. If the store refuses for good, the local
copy is kept, and the error says where.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shards_spec.errors import InputError, ObjectNotFoundError, ReelshardsError, StorageError
from shards_spec.storage import Storage
from trainer.ranks.world import World
from trainer.runs.bucket.lock import BucketLock
from trainer.runs.checkpoints import BEST, CHECKPOINTS

#: How long an unavailable store is waited for, seconds; training continues meanwhile.
PATIENCE_SECONDS = 300.0

#: What a launch reads of the run; missing files are those of a new run.
_TEXTS = ("config.json", "movies.json", "metrics.jsonl")

#: What is read of an export, besides its settings, which the module
#: `trainer/runs/evaluate/export/exported_files.py` writes.
_EXPORT = ("preprocessor_config.json", "model.safetensors")

_STEPS = f"{CHECKPOINTS}/step-"


def is_bucket(run: str | Path) -> bool:
    """Whether a run folder is a prefix of an object store."""
    return "://" in str(run) and not str(run).startswith("file://")


def local_path(run: str | Path) -> Path:
    """The path of a run folder on this machine, which may be a `file://` URI."""
    text = str(run)
    return Path(unquote(urlsplit(text).path)) if text.startswith("file://") else Path(run)


def run_text(run: str | Path, name: str) -> str | None:
    """A text file of a run folder, wherever that is; None if it does not exist."""
    if not is_bucket(run):
        path = local_path(run) / name
        return path.read_text(encoding="utf-8") if path.exists() else None
    try:
        return Storage(str(run)).get(name).decode("utf-8")
    except ObjectNotFoundError:
        return None


@contextlib.contextmanager
def local_copy(run: str | Path) -> Iterator[Path]:
    """A run folder or export on this machine; of one in a bucket, a copy of the files that are
    read."""
    if not is_bucket(run):
        yield local_path(run)
        return
    with tempfile.TemporaryDirectory(prefix="reelshards-run-") as folder:
        storage = Storage(str(run))
        _download(storage, Path(folder))
        if storage.exists(_EXPORT[0]):
            for name in _EXPORT:
                storage.download(name, Path(folder) / name)
        yield Path(folder)


@dataclass
class RunFolder:
    """A run folder as a launch uses it."""

    path: Path
    """On this machine."""
    uri: str = ""
    """In the bucket; empty for a folder on this machine."""
    keep: int = 2
    """Newest checkpoints that the bucket keeps."""
    _published: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(bytes, modification time) of what the bucket has, by key."""
    lock: BucketLock | None = None
    """Of the launch that publishes."""
    is_kept: bool = False
    """Whether the copy on this machine stays, because the bucket does not have it all."""

    def publish(self) -> None:
        """Bring the bucket up to date; does nothing for a folder on this machine.

        Raises `StorageError` when the store refuses, `InputError` when another launch took over.
        """
        if not self.uri:
            return
        if self.lock is not None:
            self.lock.check()
        storage = Storage(self.uri).with_patience(PATIENCE_SECONDS)
        files = sorted(path for path in self.path.rglob("*") if path.is_file())
        for path in sorted(files, key=self._rank):
            key = path.relative_to(self.path).as_posix()
            if path.name.startswith("."):
                continue
            stat = path.stat()
            state = (stat.st_size, stat.st_mtime_ns)
            if self._published.get(key) != state:
                # Logs grow while they are read: what is sent must be one state of the file.
                storage.put(key, path if path.suffix == ".pt" else path.read_bytes())
                self._published[key] = state
        steps = [info.key for info in storage.list(CHECKPOINTS) if _STEPS in info.key]
        for key in sorted(steps)[: -self.keep]:
            storage.delete(key)

    def _rank(self, path: Path) -> tuple[int, str]:
        names = ("movies.json", "config.json", "metrics.jsonl")
        is_known = path.name in names
        return (names.index(path.name) if is_known else len(names), str(path))


@contextlib.contextmanager
def open_run_folder(run: str | Path, world: World) -> Iterator[RunFolder]:
    """The run folder of a launch; one in a bucket is locked, copied, and published at the end.

    Raises `InputError` while another launch trains in the bucket.
    """
    if not is_bucket(run):
        yield RunFolder(local_path(run))
        return
    storage = Storage(str(run))
    with contextlib.ExitStack() as stack:
        parent = Path(tempfile.mkdtemp(prefix="reelshards-run-"))
        folder = RunFolder(parent / "run", storage.uri if world.is_first else "")
        stack.callback(_remove, parent, folder)
        refusal: ReelshardsError | None = None
        if world.is_first:
            try:
                folder.lock = stack.enter_context(BucketLock(storage))
            except ReelshardsError as error:
                refusal = error
        if any(refused for [refused] in world.gather([float(refusal is not None)])):
            raise refusal or InputError(f"the first rank cannot use --run {run}")
        folder.path.mkdir()
        folder._published.update(_download(storage, folder.path))
        try:
            yield folder
        finally:
            _publish_last(folder)


def _publish_last(folder: RunFolder) -> None:
    """Publish what was written last, such as the lines of an interrupted launch.

    If the store refuses, the folder on this machine is all that there is of the latest checkpoints:
    it is kept, and the error names it.
    """
    is_superseded = folder.lock is not None and folder.lock.is_lost
    if not folder.uri or is_superseded or not (folder.path / _TEXTS[0]).exists():
        return
    try:
        folder.publish()
    except StorageError as error:
        folder.is_kept = True
        raise StorageError(
            f"{error}; the run is kept in {folder.path}: resume it with --run {folder.path}, or "
            f"copy that folder to {folder.uri} and run the same command again"
        ) from error


def _remove(parent: Path, folder: RunFolder) -> None:
    if not folder.is_kept:
        shutil.rmtree(parent, ignore_errors=True)


def _download(storage: Storage, folder: Path) -> dict[str, tuple[int, int]]:
    """Copy what a launch reads; returns the states of the files by key."""
    keys = [info.key for info in storage.list(CHECKPOINTS)]
    steps = sorted(key for key in keys if _STEPS in key)
    wanted = [*_TEXTS, *steps[-1:], *(key for key in keys if key == f"{CHECKPOINTS}/{BEST}")]
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    states = {}
    for key in wanted:
        path = folder / key
        try:
            storage.download(key, path)
        except ObjectNotFoundError:
            path.unlink(missing_ok=True)
            continue
        states[key] = (path.stat().st_size, path.stat().st_mtime_ns)
    return states
