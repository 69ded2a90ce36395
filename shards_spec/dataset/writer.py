"""Writes the shards of one movie.

A shard is built in a local temporary file and uploaded as a whole. For readers it does not exist
until the movie's commit record lists its clips. Equal inputs give equal bytes: tar headers are
fixed and contain no times.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import google_crc32c

from shards_spec import layout
from shards_spec.errors import FormatError
from shards_spec.sample import ROW
from shards_spec.schema import ClipContent, ClipRow
from shards_spec.storage import Storage


class MovieWriter:
    """Writes one movie's clips to its shards, in the order in which they are added.

    A context manager; `close` uploads the last shard. Readers see none of it before `write_commit`.
    """

    def __init__(
        self,
        storage: Storage,
        movie_id: str,
        shard_bytes: int,
        *,
        first_shard: int = 0,
        folder: str | None = None,
    ) -> None:
        """Start writing.

        Args:
            shard_bytes: a shard is closed with the clip that makes it this large.
            first_shard: number of the first shard, above those of a previous version of the movie.
            folder: where shards are built; by default the system's folder for temporary files.
        """
        self.rows: list[ClipRow] = []
        self.num_shards = 0
        self.num_bytes = 0
        self._storage = storage
        self._movie_id = layout.check_movie_id(movie_id)
        self._shard_bytes = shard_bytes
        self._first_shard = first_shard
        self._folder = tempfile.TemporaryDirectory(prefix="reelshards-", dir=folder)
        self._shard: _OpenShard | None = None

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._shard is not None:
            self._shard.finish()
        self._folder.cleanup()

    def add(self, clip: ClipContent, members: Mapping[str, bytes]) -> None:
        """Append one clip. `members` maps suffixes to bytes; the `.json` member is added here."""
        if clip.movie_id != self._movie_id:
            raise FormatError(f"clip {clip.clip_id} does not belong to movie {self._movie_id}")
        if self._shard is None:
            key = layout.shard_key(self._movie_id, self._first_shard + self.num_shards)
            self._shard = _OpenShard(key, Path(self._folder.name) / "shard.tar")
        self.rows.append(self._shard.append(clip, members))
        if self._shard.num_bytes >= self._shard_bytes:
            self._finish_shard()

    def close(self) -> None:
        """Upload the shard that is still open, if any."""
        if self._shard is not None:
            self._finish_shard()

    def _finish_shard(self) -> None:
        assert self._shard is not None
        path = self._shard.finish()
        self.num_bytes += path.stat().st_size
        self._storage.put(self._shard.key, path)
        path.unlink()
        self._shard = None
        self.num_shards += 1


class _OpenShard:
    """A shard that is being written to a local file, sample by sample."""

    def __init__(self, key: str, path: Path) -> None:
        self.key = key
        self.num_bytes = 0
        self._path = path
        self._file = path.open("wb")

    def append(self, clip: ClipContent, members: Mapping[str, bytes]) -> ClipRow:
        data = tar_sample(clip.clip_id, {**members, ROW: clip.to_member(self.key)})
        row = clip.at(self.key, self.num_bytes, len(data), google_crc32c.value(data))
        self._file.write(data)
        self.num_bytes += len(data)
        return row

    def finish(self) -> Path:
        # End of archive: exactly two zero blocks.
        self._file.write(bytes(1024))
        self._file.close()
        return self._path


def tar_sample(clip_id: str, members: Mapping[str, bytes]) -> bytes:
    """Tar bytes of one sample, without end-of-archive blocks; a multiple of 512 bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for suffix, data in sorted(members.items()):
            header = tarfile.TarInfo(f"{clip_id}.{suffix}")
            header.size, header.mode = len(data), 0o644
            archive.addfile(header, io.BytesIO(data))
        size = archive.offset
    return buffer.getvalue()[:size]
