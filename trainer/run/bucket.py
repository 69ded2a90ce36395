"""Run folders in buckets: a local copy that is trained in, and published at every checkpoint.

    s3://bucket/runs/first/.run-lock           one launch at a time; expires if it is not renewed
                           config.json, movies.json, metrics.jsonl, checkpoints/, tensorboard/

A launch downloads what it needs to resume: settings, metrics and the newest checkpoint. Files are
published in an order in which every state of the bucket can be resumed from: a checkpoint only
after the settings and the metric lines that belong to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shards_spec.errors import InputError, ObjectNotFoundError, ReelshardsError
from shards_spec.storage import Storage
from trainer.ranks import World
from trainer.run.checkpoint import BEST, CHECKPOINTS

LOCK_KEY = ".run-lock"

#: A launch that has not renewed its lock for this long is taken to be dead, seconds.
LOCK_SECONDS = 180.0

#: Time between renewals, seconds.
RENEWAL_SECONDS = 30.0

#: What a launch reads of the run; missing files are those of a new run.
_TEXTS = ("config.json", "movies.json", "metrics.jsonl")

#: What is read of an export, besides its settings; see `trainer/evaluate/export/exported_files.py`.
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
    _lost: list[str] = field(default_factory=list)
    """Why the lock is no longer ours."""

    def publish(self) -> None:
        """Bring the bucket up to date; does nothing for a folder on this machine.

        Raises `StorageError` when the store refuses, `InputError` when another launch took over.
        """
        if not self.uri:
            return
        if self._lost:
            raise InputError(f"{self.uri}: {self._lost[0]}; this launch stops")
        storage = Storage(self.uri)
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
        parent = stack.enter_context(tempfile.TemporaryDirectory(prefix="reelshards-run-"))
        folder = RunFolder(Path(parent) / "run", storage.uri if world.is_first else "")
        refusal: ReelshardsError | None = None
        if world.is_first:
            try:
                stack.enter_context(_locked(storage, folder))
            except ReelshardsError as error:
                refusal = error
        if any(refused for [refused] in world.gather([float(refusal is not None)])):
            raise refusal or InputError(f"the first rank cannot use --run {run}")
        folder.path.mkdir()
        folder._published.update(_download(storage, folder.path))
        try:
            yield folder
        finally:
            # What was written last, such as the lines of an interrupted launch.
            if folder.uri and not folder._lost and (folder.path / _TEXTS[0]).exists():
                folder.publish()


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


@contextlib.contextmanager
def _locked(storage: Storage, folder: RunFolder) -> Iterator[None]:
    token = uuid.uuid4().hex
    _acquire(storage, token)
    stop = threading.Event()
    renewal = threading.Thread(
        target=_renew, args=(storage, token, stop, folder), name="reelshards-run-lock", daemon=True
    )
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with contextlib.suppress(ReelshardsError):
            if _holder(storage).get("token") == token:
                storage.delete(LOCK_KEY)


def _acquire(storage: Storage, token: str) -> None:
    for _ in range(2):
        if storage.create(LOCK_KEY, _content(token)):
            return
        holder = _holder(storage)
        if not _is_dead(holder):
            expires = holder["expires_unix"]
            left = expires - time.time() if isinstance(expires, int | float) else 0.0
            raise InputError(
                f"another launch is training in {storage.uri} (process {holder.get('pid')} on "
                f"{holder.get('host')}); wait until it ends, stop it, or choose another --run; if "
                f"it was killed, its lock expires in {max(0, left):.0f} s"
            )
        storage.delete(LOCK_KEY)
    raise InputError(f"another launch has just taken {storage.uri}")


def _renew(storage: Storage, token: str, stop: threading.Event, folder: RunFolder) -> None:
    renewed = time.monotonic()
    while not stop.wait(RENEWAL_SECONDS):
        try:
            if _holder(storage).get("token") != token:
                folder._lost.append("another launch has taken over this run")
                return
            storage.put(LOCK_KEY, _content(token))
            renewed = time.monotonic()
        except ReelshardsError as error:
            if time.monotonic() - renewed > LOCK_SECONDS:
                folder._lost.append(f"the lock could not be renewed ({error})")
                return


def _content(token: str) -> bytes:
    values = {
        "token": token,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "expires_unix": time.time() + LOCK_SECONDS,
    }
    return json.dumps(values).encode()


def _holder(storage: Storage) -> dict[str, object]:
    """The contents of the lock; empty if there is none, or nothing readable in it."""
    try:
        values = json.loads(storage.get(LOCK_KEY))
    except (ObjectNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_dead(holder: dict[str, object]) -> bool:
    """Whether the lock has expired, or its process on this machine has ended."""
    expires, pid = holder.get("expires_unix"), holder.get("pid")
    if not isinstance(expires, int | float) or not isinstance(pid, int):
        return True
    if holder.get("host") == socket.gethostname() and not Path(f"/proc/{pid}").exists():
        return Path("/proc/self").exists()
    return expires < time.time()
