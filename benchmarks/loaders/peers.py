"""Webdataset, litData and mosaic streaming over the clips of `clip_sets`, as their guides say.

All deliver batches (clip numbers, frames, log-mels) in loader processes, decoded by one function.
Ranks are set by the usual variables RANK and WORLD_SIZE, as under `torchrun`. Settings that are
not named are the library's defaults; the chunks of litData and mosaic are about as large as the
shards of ours and webdataset.
"""

from __future__ import annotations

import importlib.metadata
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shards_spec.sample import decode_logmel, decode_strip

FRAME_SIZE = 112
NUM_FRAMES = 16
SEED = 1

#: Distributions by library.
PACKAGES = {
    "webdataset": "webdataset",
    "litData": "litdata",
    "mosaic streaming": "mosaicml-streaming",
}

Item = tuple[int, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the clips are and how they are wanted."""

    folder: Path
    """What `clip_sets.make` wrote."""
    url: str
    """Of the object store that serves `folder`'s parent; empty to read the folder itself."""
    cache: Path
    """Local folder of the library's own cache, for remote clips."""
    batch_size: int
    """Clips of this rank's batches."""
    num_workers: int
    clips_per_movie: int

    def uri(self, library: str) -> str:
        """The library's clips."""
        bucket = f"s3://{self.folder.name}" if self.url else str(self.folder)
        return f"{bucket}/{library}"


def version(library: str) -> str:
    """The installed version, or an empty text."""
    try:
        return importlib.metadata.version(PACKAGES[library])
    except importlib.metadata.PackageNotFoundError:
        return ""


def decode(number: int, strip: bytes, logmel: bytes) -> Item:
    """Frames (T, S, S, 3) uint8, cropped in the middle, and the log-mel."""
    frames = decode_strip(strip, NUM_FRAMES)
    top, left = ((size - FRAME_SIZE) // 2 for size in frames.shape[1:3])
    crop = frames[:, top : top + FRAME_SIZE, left : left + FRAME_SIZE]
    return (
        number,
        torch.from_numpy(np.ascontiguousarray(crop)),
        torch.from_numpy(decode_logmel(logmel).copy()),
    )


def webdataset(source: Source) -> Any:
    """Shards and then samples shuffled, split by node and worker, batched in the workers."""
    import webdataset as wds

    urls = sorted((source.folder / "reelshards" / "shards").rglob("*.tar"))
    names = [str(path) for path in urls]
    if source.url:
        begin = len(str(source.folder.parent))
        names = [f"pipe:curl -s -f {source.url}{name[begin:]}" for name in names]
    dataset = wds.WebDataset(
        names,
        shardshuffle=len(names),
        nodesplitter=wds.split_by_node,
        cache_dir=str(source.cache) if source.url else None,
        seed=SEED,
    )
    pipeline = (
        dataset.shuffle(1000, rng=random.Random(SEED))
        .map(_FromTar(source.clips_per_movie))
        .batched(source.batch_size, collation_fn=_stack)
    )
    return wds.WebLoader(pipeline, batch_size=None, num_workers=source.num_workers)


def litdata(source: Source) -> Any:
    """`StreamingDataset` shuffled, in a `StreamingDataLoader`."""
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    # It has no setting for this, and the loopback server does not support TLS.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
    dataset = StreamingDataset(
        source.uri("litdata"),
        cache_dir=str(source.cache) if source.url else None,
        shuffle=True,
        seed=SEED,
        drop_last=True,
        transform=_decode_item,
        storage_options={"endpoint_url": source.url} if source.url else None,
    )
    return StreamingDataLoader(
        dataset,
        batch_size=source.batch_size,
        num_workers=source.num_workers,
        collate_fn=_stack_items,
    )


def mosaic(source: Source) -> Any:
    """`StreamingDataset` shuffled, in a `StreamingDataLoader`."""
    from streaming import StreamingDataLoader, StreamingDataset

    class Decoded(StreamingDataset):
        def __getitem__(self, at: Any) -> Item:
            return _decode_item(super().__getitem__(at))

    os.environ["S3_ENDPOINT_URL"] = source.url
    remote = source.uri("mosaic") if source.url else None
    local = source.cache if source.url else source.folder / "mosaic"
    dataset = Decoded(
        remote=remote,
        local=str(local),
        shuffle=True,
        shuffle_seed=SEED,
        batch_size=source.batch_size,
    )
    return StreamingDataLoader(
        dataset,
        batch_size=source.batch_size,
        num_workers=source.num_workers,
        drop_last=True,
        collate_fn=_stack_items,
    )


LOADERS: dict[str, Callable[[Source], Any]] = {
    "webdataset": webdataset,
    "litData": litdata,
    "mosaic streaming": mosaic,
}


class _FromTar:
    """A sample of ours as webdataset gives it -> an item."""

    def __init__(self, clips_per_movie: int) -> None:
        self._clips_per_movie = clips_per_movie

    def __call__(self, sample: dict[str, Any]) -> Item:
        movie, clip = sample["__key__"].removeprefix("movie-").split("_")
        number = int(movie) * self._clips_per_movie + int(clip)
        return decode(number, sample["frames.jpg"], sample["logmel.npy"])


def _decode_item(item: dict[str, Any], *_: Any) -> Item:
    return decode(int(item["clip"]), item["strip"], item["logmel"])


def _stack(items: list[Item], **_: Any) -> Item:
    return _stack_items(items)


def _stack_items(items: list[Any]) -> Any:
    numbers, frames, logmels = zip(*items, strict=True)
    return torch.tensor(numbers), torch.stack(frames), torch.stack(logmels)
