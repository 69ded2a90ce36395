"""A local Ray cluster that tests start themselves."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import ray


@contextlib.contextmanager
def running(**options: Any) -> Iterator[None]:
    """A Ray cluster of two CPUs, separate from any other; `options` are passed to `ray.init`."""
    # As in a run: a busy machine may need longer than Ray's 30 s.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **options,
    )
    try:
        yield
    finally:
        # Without waiting, Ray leaves processes to the garbage collector, which warns about them.
        ray.shutdown(wait_for_processes=True)
