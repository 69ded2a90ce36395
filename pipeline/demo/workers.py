"""Movies made in several processes at a time; none of them outlives the one that started them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from shards_spec.errors import ReelshardsError
from shards_spec.process import end_with_parent


def make_in_processes(
    make: Callable[[int], str], indices: Sequence[int], num_workers: int
) -> Iterator[str]:
    """The file names that `make` returns for `indices`, as the movies are completed.

    The first failure, and Ctrl-C, stop the other movies at once. Raises `ReelshardsError` if a
    process is killed, and what `make` raises.
    """
    # Spawned, not forked: the caller may have threads.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=end_with_parent) as pool:
        jobs = [pool.submit(make, index) for index in indices]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise ReelshardsError(
                    "a process that made a movie was killed, probably for lack of memory; run the "
                    "same command again: completed movies are kept"
                ) from error
            raise
