"""A local Ray cluster that tests start themselves."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import ray

from pipeline.engine.on_ray.cluster import init_ray


@contextlib.contextmanager
def running(**options: Any) -> Iterator[None]:
    """A Ray cluster of two CPUs, separate from any other; `options` are passed to `init_ray`."""
    init_ray(
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
