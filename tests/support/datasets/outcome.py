"""What a run left behind: the bytes of its dataset, and programs that should have ended."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq

from shards_spec.schema.columns import MEASURED_COLUMNS
from shards_spec.storage.storage import Storage


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of all shards, the clip index, and the movie index without measured columns; the
    texts of `dataset.json` and of the card."""
    found = {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*sorted(out.glob("shards/**/*.tar")), out / "index/clips.parquet"]
    }
    movies = pq.read_table(out / "index/movies.parquet").drop_columns(list(MEASURED_COLUMNS))
    found["movies"] = hashlib.sha256(str(movies.to_pylist()).encode()).hexdigest()
    for name in ("dataset.json", "README.md"):
        found[name] = (out / name).read_text()
    return found


def shard_digests(storage: Storage) -> dict[str, str]:
    """SHA-256 of every shard in any store."""
    return {
        info.key: hashlib.sha256(storage.get(info.key)).hexdigest()
        for info in storage.list()
        if info.key.endswith(".tar")
    }


def programs_on(folder: Path) -> list[str]:
    """Command lines of running ffmpeg and ffprobe processes that mention a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        name = words[0].rpartition(b"/")[2]
        if name.startswith((b"ffmpeg", b"ffprobe")) and str(folder).encode() in b" ".join(words):
            found.append(b" ".join(words).decode("utf-8", "replace"))
    return found


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found
