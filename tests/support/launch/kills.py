"""Commands that end by a real signal at a named write, in processes of their own.

The processes are forked from a server that has imported the pipeline, so that each starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, cast

from shards_spec.storage.storage import Storage

_PRELOADED = ["tests.support.launch.kills", "pipeline.__main__", "pipeline.run", "pipeline.console"]
_WORKER_POINT, _WORKER_MARK = "TEST_KILL_POINT", "TEST_KILL_MARK"
_DEADLINE_SECONDS = 600.0


@dataclass(frozen=True)
class Point:
    """A write of a command, before which a signal arrives."""

    operation: str
    """`put`, `create` or `delete`."""
    prefix: str
    """What the key begins with."""
    number: int = 1
    """Which of these writes, from 1."""

    def __str__(self) -> str:
        return f"{self.operation} {self.prefix} {self.number}"


class Launcher:
    """Starts commands of `python -m pipeline`."""

    def __init__(self) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def run(
        self, command: Sequence[str], point: Point | None = None, number: int = signal.SIGKILL
    ) -> int:
        """The exit code of a command; that of a signal is negative."""
        return self._run(_run_command, (list(command), point, number))

    def run_with_killed_worker(
        self, command: Sequence[str], point: Point, mark: Path, *, with_driver: bool
    ) -> int:
        """As `run`; the first worker that reaches the point is killed, and maybe the driver."""
        arguments = (list(command), point, str(mark), with_driver)
        return self._run(_run_with_killed_worker, arguments)

    def _run(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> int:
        process = self._context.Process(target=target, args=arguments)
        process.start()
        process.join(_DEADLINE_SECONDS)
        code = process.exitcode
        if code is None:
            process.kill()
            raise AssertionError(f"{arguments}: still running after {_DEADLINE_SECONDS:.0f} s")
        process.close()
        return code


def _run_command(command: list[str], point: Point | None, number: int) -> None:
    if point is not None:
        _signal_at(point, lambda: os.kill(os.getpid(), number))
    _end_with(command)


def _run_with_killed_worker(command: list[str], point: Point, mark: str, with_driver: bool) -> None:
    import ray

    driver = os.getpid() if with_driver else 0
    original = ray.init
    values = {name: str(value) for name, value in asdict(point).items()}
    environment = {
        _WORKER_POINT: "|".join([*values.values(), str(driver)]),
        _WORKER_MARK: mark,
    }

    def init(**options: Any) -> Any:
        hook = f"{__name__}.prepare_worker"
        runtime = {"worker_process_setup_hook": hook, "env_vars": environment}
        return original(**options, runtime_env=runtime)

    cast(Any, ray).init = init
    _end_with(command)


def prepare_worker() -> None:
    """Called by Ray in every worker of such a command."""
    operation, prefix, number, driver = os.environ[_WORKER_POINT].split("|")

    def kill() -> None:
        try:
            os.close(os.open(os.environ[_WORKER_MARK], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        if driver != "0":
            os.kill(int(driver), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    _signal_at(Point(operation, prefix, int(number)), kill)


def _signal_at(point: Point, strike: Callable[[], None]) -> None:
    """Call `strike` before a write of this process."""
    method = getattr(Storage, point.operation)
    count = 0

    def observed(storage: Storage, key: str, *arguments: Any) -> Any:
        nonlocal count
        count += key.startswith(point.prefix)
        if key.startswith(point.prefix) and count == point.number:
            strike()
        return method(storage, key, *arguments)

    setattr(Storage, point.operation, observed)


def _end_with(command: list[str]) -> None:
    """Run the command without output and end the process with its exit code."""
    from pipeline.__main__ import main
    from shards_spec.process import end_process

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    end_process(main(command))
