"""Between a process and its game engine: ends the engine when that process is gone.

The engine is a program of its own. If the process that controls it is killed, it waits without end
for the next tic, and its shared memory stays. So the process starts this module, as a script, which
starts the engine. It needs nothing but the standard library.

    controller  --starts-->  supervisor CONTROLLER ENGINE ARGUMENTS...  --starts-->  engine
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

#: How often the controller is looked for, seconds.
_POLL_SECONDS = 0.5

#: Where Linux keeps shared memory; the engine's has names that end with its instance id.
_SHARED_MEMORY = Path("/dev/shm")
_INSTANCE_OPTION = "+viz_instance_id"

#: Of prctl(2): the signal that a process gets when its parent has ended.
_PR_SET_PDEATHSIG = 1


def supervised(engine: Path, folder: Path) -> Path:
    """A program in `folder` that runs `engine` with its arguments, and ends with this process.

    Where programs in that folder cannot be run, it is `engine` itself.
    """
    program = folder / "engine.sh"
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(engine)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o700)
    return program if os.access(program, os.X_OK) else engine


def main(controller: int, command: list[str]) -> int:
    """Run the engine; returns its exit status as a shell reports it."""
    engine = subprocess.Popen(command, close_fds=False, preexec_fn=_end_with_supervisor)
    signal.signal(signal.SIGTERM, lambda *_: engine.kill())
    # Ctrl-C reaches the engine and the controller as well, and they decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = engine.wait(_POLL_SECONDS)
            return status if status >= 0 else 128 - status
        if os.getppid() != controller:
            engine.kill()
            engine.wait()
            _delete_shared_memory(command)
            return 1


def _end_with_supervisor() -> None:
    """In the engine's process, before it starts: so that it also ends if this one is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _delete_shared_memory(command: list[str]) -> None:
    with contextlib.suppress(ValueError, IndexError, OSError):
        instance = command[command.index(_INSTANCE_OPTION) + 1]
        if instance.isalnum():
            for path in _SHARED_MEMORY.glob(f"ViZDoom*{instance}"):
                path.unlink()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
