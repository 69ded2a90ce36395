"""What the command lines of all packages share: exit codes, errors, JSON, and the console.

Commands are frozen dataclasses whose fields are the arguments and whose `run` does the work:

    COMMANDS = {"status": Status, "retry": Retry}
    sys.exit(main(COMMANDS, prog="python -m pipeline", description="..."))

Heavy imports belong into `run`, so that `--help` and mistyped arguments answer at once.
"""

from __future__ import annotations

import atexit
import enum
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Annotated, Any, NoReturn, Protocol, Union

import tyro
from rich.console import Console

from shards_spec.errors import ReelshardsError
from shards_spec.redaction import redacted

#: Width of tables and lines where the output is a file or a pipe.
_LOG_WIDTH = 110


class ExitCode(enum.IntEnum):
    """Exit codes of all commands."""

    DONE = 0
    """Everything was done."""
    SOME_FAILED = 1
    """Finished, but some movies or checks failed; they are listed."""
    UNUSABLE = 2
    """Bad arguments or unusable input, or a failure of the run as a whole."""
    INTERRUPTED = 130
    """Ctrl-C."""
    DRAINED = 143
    """Stopped by SIGTERM before the end; the same command resumes."""


class Command(Protocol):
    """A subcommand with its parsed arguments."""

    def run(self) -> int:
        """Do it; returns the exit code."""
        ...


def main(
    commands: Mapping[str, type[Command]],
    *,
    prog: str,
    description: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse one of `commands` (by name) and run it; returns the exit code.

    Exits with status 2 when the arguments do not parse.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        sys.stdout.write(f"reelshards {version()}\n")
        return ExitCode.DONE
    # Settings check themselves when they are built, so parsing may raise our errors too.
    return run_reporting_errors(
        lambda: parse(commands, words, prog=prog, description=description).run()
    )


def parse(
    commands: Mapping[str, type[Command]], arguments: Sequence[str], *, prog: str, description: str
) -> Command:
    """The subcommand that the arguments name; exits with status 2 when they do not parse."""
    kinds: list[Any] = [
        Annotated[kind, tyro.conf.subcommand(name)] for name, kind in commands.items()
    ]
    # A union that is built from a table instead of written out is not a static type.
    any_of: Any = Union[tuple(kinds)]  # noqa: UP007
    command: Command = tyro.cli(
        any_of,
        prog=prog,
        description=description,
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return command


def run_reporting_errors(work: Callable[[], int]) -> int:
    """Call `work`; errors that a user can cause become a line on stderr and an exit code."""
    try:
        return work()
    except ReelshardsError as error:
        sys.stderr.write(f"{error.prefix}{redacted(str(error))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to resume\n")
        return ExitCode.INTERRUPTED


def end_process(code: int) -> NoReturn:
    """End this process with an exit code, without finalising the interpreter if Ray was used.

    Ray keeps native threads after its shutdown. If one of them still runs while the interpreter and
    the C++ libraries destroy their globals, a process that has done all of its work ends with a
    segmentation fault (exit code 139). So exit handlers run and output is flushed as usual, and
    then the operating system ends all threads at once.
    """
    if "ray" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def print_json(values: Any) -> None:
    """Write JSON to stdout, indented."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def new_console() -> Console:
    """A console on stdout, wide enough for whole lines where that is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_LOG_WIDTH)


def version() -> str:
    """Version of the installed package; `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("reelshards")
    except metadata.PackageNotFoundError:
        return "unknown"
