"""Peak memory of a process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from shards_spec.process import peak_rss_bytes

SHOW_PEAK = "from shards_spec.process import peak_rss_bytes; print(peak_rss_bytes())"
TOUCHED_BYTES = 400 << 20


def test_a_small_process_started_by_a_large_one_is_small() -> None:
    touched = np.ones(TOUCHED_BYTES, np.uint8)
    child = subprocess.run([sys.executable, "-c", SHOW_PEAK], capture_output=True, check=True)
    assert peak_rss_bytes() > touched.nbytes
    assert int(child.stdout) < TOUCHED_BYTES / 2


def test_memory_that_was_freed_still_counts() -> None:
    touch = f"import numpy as np; np.ones({TOUCHED_BYTES}, np.uint8); {SHOW_PEAK}"
    child = subprocess.run([sys.executable, "-c", touch], capture_output=True, check=True)
    assert int(child.stdout) > TOUCHED_BYTES
