"""Worker processes end with their parent, also if it is killed; imports collect no garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards_spec.process import importing
from tests.support.launch.descendants import Family, needs_proc

PROGRAM = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from shards_spec.process import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(2, mp_context=context, initializer=end_with_parent)
    # One worker is in the middle of something, and the other waits for work.
    pool.submit(abs, 1).result()
    pool.submit(time.sleep, 98765)
    pool.submit(abs, 1).result()
    print("ready", flush=True)
    time.sleep(98765)
"""


@needs_proc
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_workers_of_a_killed_process_end(tmp_path: Path, how: str) -> None:
    family, program = Family(), tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(program)],
        env={**os.environ, **family.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"ready\n"
        assert len(family.commands()) >= 3
        getattr(process, how)()
    family.wait_until_gone()


def test_garbage_is_searched_again_after_imports() -> None:
    frozen = gc.get_freeze_count()
    try:
        with contextlib.suppress(ImportError), importing():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled(), "somebody else has switched it off"
    finally:
        gc.enable()
