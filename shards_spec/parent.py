"""Processes of `multiprocessing` end with their parent, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Kill this process as soon as its parent is gone; call it once, when the process begins.

    A pool's workers would otherwise complete what they are doing after their parent was killed, and
    then wait for more without end. Does nothing in a process that has no parent of that kind.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_wait, args=(parent,), name="reelshards-parent", daemon=True
        ).start()


def _wait(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    # Neither exception handlers nor exit functions may wait for a process that is gone.
    os.kill(os.getpid(), signal.SIGKILL)
