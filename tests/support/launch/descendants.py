"""Processes that a command has started, also those that have lost their parent since."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs /proc to find processes"
)

_VARIABLE = "REELSHARDS_TEST_FAMILY"


class Family:
    """All processes with the environment `env`: they inherit its marker."""

    def __init__(self) -> None:
        self._entry = f"{_VARIABLE}={uuid.uuid4()}"

    @property
    def env(self) -> dict[str, str]:
        """To be added to the environment of the command."""
        name, _, value = self._entry.partition("=")
        return {name: value}

    def commands(self) -> dict[int, str]:
        """The command line of each living process by its id."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environ = (path / "environ").read_bytes().split(b"\0")
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            # A process that has ended and waits for its parent has no command line.
            if self._entry.encode() in environ and any(words):
                found[int(path.name)] = b" ".join(words).decode(errors="replace")
        return found

    def wait_for(self, text: str, seconds: float = 120.0) -> int:
        """The id of a process with `text` in its command line."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for pid, command in self.commands().items():
                if text in command:
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"no process with {text!r}: {self.commands()}")

    def wait_until_gone(self, seconds: float = 60.0) -> None:
        """Until none is left."""
        deadline = time.monotonic() + seconds
        while commands := self.commands():
            assert time.monotonic() < deadline, f"still running: {commands}"
            time.sleep(0.05)
