"""Reads given clips once, in order, for evaluation."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from shards_spec.dataset.reader import Dataset
from trainer.data.fetch.counters import Counters
from trainer.data.loader import StreamConfig
from trainer.data.plan import ClipIndex
from trainer.data.stream.bad_clips import BadClips
from trainer.data.stream.batch import Batch
from trainer.data.stream.batch_filler import BatchFiller, BatchFuture


def read_all(
    dataset: Dataset, rows: Sequence[int], config: StreamConfig, batch_size: int = 64
) -> Iterator[Batch]:
    """Rows of the table of clips in the given order, with centered crops.

    Clips that cannot be read are left out: counted, logged and limited as in `ClipStream`. The
    batches have epoch 0 and count their steps; each movie is its own group.
    """
    counters = Counters()
    bad = BadClips(dataset.storage.uri, config.max_bad_fraction, counters)
    movie = ClipIndex.movie_numbers(dataset.clips)
    all_rows = np.asarray(rows, dtype=np.int64)
    parts = deque(
        all_rows[first : first + batch_size] for first in range(0, len(all_rows), batch_size)
    )
    # Threads: a short evaluation is over before a worker has started.
    config = dataclasses.replace(config, crop="center", num_processes=0)
    filler = BatchFiller(dataset, config, counters, batch_size)
    depth = max(
        1, min(config.prefetch_batches, config.prefetch_bytes // filler.batch_bytes(batch_size))
    )
    queue: deque[BatchFuture] = deque()
    step = 0
    try:
        while parts or queue:
            while parts and len(queue) <= depth:
                queue.append(filler.submit(parts.popleft()[None], seed=0, epoch=0))
            buffers = queue.popleft().wait()
            for slot in sorted(buffers.problems):
                bad.count(buffers.problems[slot])
            buffers = buffers.without_problems()
            counters.add(num_clips=len(buffers.rows))
            if len(buffers.rows):
                numbers = movie[buffers.rows]
                yield buffers.to_batch(numbers, numbers, step)
                step += 1
    finally:
        filler.close()
