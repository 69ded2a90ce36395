"""Bounds that the objects set: shards of a local dataset are files that hold their clips."""

from __future__ import annotations

import os
import stat

import numpy as np
import pyarrow as pa

from shards_spec.dataset.bounds.links import check_links
from shards_spec.errors import FormatError
from shards_spec.storage import Storage

#: Shards that are looked up; of more, as many, evenly spaced. Each takes some 20 microseconds.
MAX_SHARDS = 20_000


def check_shards(storage: Storage, clips: pa.Table, name: str) -> None:
    """Raise `FormatError` if a listed shard is not a file, too short or outside.

    For local folders only: in a store, each lookup would be a request. There the first read of such
    a shard fails.
    """
    if not storage.is_local or not clips.num_rows:
        return
    shards = clips["shard"].combine_chunks()
    # Rows are sorted: the last one of a shard ends at its two zero blocks.
    encoded = shards if pa.types.is_dictionary(shards.type) else shards.dictionary_encode()
    codes = np.asarray(encoded.indices)
    lasts = np.append(np.flatnonzero(np.diff(codes)), clips.num_rows - 1)
    step = -(-len(lasts) // MAX_SHARDS)
    rows = clips.select(["shard", "tar_offset", "tar_bytes"]).take(pa.array(lasts[::step]))
    root = str(storage.local_path())
    check_links(storage, rows["shard"].to_pylist())
    for shard, offset, length in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        problem = _problem(f"{root}/{shard}", offset + length)
        if problem:
            raise FormatError(
                f"{name} lists the shard {shard}, which {problem}; copy it again, or check the "
                "dataset with `validate`"
            )


def _problem(path: str, num_bytes: int) -> str:
    """What is wrong with a shard's file; empty if nothing is."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        # A copy of some movies only is usable; the first read of such a shard says what is missing.
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_size < num_bytes:
        return f"has {status.st_size:,} bytes, but clips up to byte {num_bytes:,}"
    return ""
