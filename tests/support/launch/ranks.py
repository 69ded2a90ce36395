"""Ranks of one run on this machine, started as torchrun would, whose launcher imports torch too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def start_ranks(
    words: Sequence[str], world_size: int, **settings: Any
) -> list[subprocess.Popen[bytes]]:
    """Start `python *words` once for each rank; `settings` are those of `subprocess.Popen`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={
                **os.environ,
                **{"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)},
                # For ranks that are the test file itself.
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            },
            **settings,
        )
        for rank in range(world_size)
    ]
