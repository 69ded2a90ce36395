"""What the command lines of all packages share: exit codes, errors, JSON, and the console.

Commands are frozen dataclasses whose fields are the arguments and whose `run` does the work:

    COMMANDS = {"status": Status, "retry": Retry}
    run_process(lambda: main(COMMANDS, prog="python -m pipeline", description="..."))

Heavy imports belong in `run`, so that `--help` and mistyped arguments answer at once.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Protocol, Union

import tyro
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from shards_spec.errors import ReelshardsError
from shards_spec.redaction import plain, plain_lines, redacted, with_paths
from shards_spec.version import version

#: Width of tables and lines where the output is a file or a pipe.
_LOG_WIDTH = 110

_OUR_PACKAGES = ("pipeline", "trainer", "shards_spec", "reelshards")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


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
    former_flags: Mapping[str, str] = _NOTHING,
) -> int:
    """Parse one of `commands` (by name) and run it; returns the exit code.

    `former_flags` are accepted but not listed in the help; see `current_flags`. Exits with status 2
    when the arguments do not parse.
    """
    return run_parsed(
        arguments,
        lambda words: parse(
            commands, words, prog=prog, description=description, former_flags=former_flags
        ),
    )


def run_parsed(
    arguments: Sequence[str] | None, parse_words: Callable[[Sequence[str]], Command]
) -> int:
    """Run the command that the arguments parse to, by default those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        sys.stdout.write(f"reelshards {version()}\n")
        return ExitCode.DONE
    # Settings check themselves when they are built, so parsing may raise our errors too.
    return run_reporting_errors(lambda: parse_words(words).run())


def parse(
    commands: Mapping[str, type[Command]],
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
    former_flags: Mapping[str, str] = _NOTHING,
    defaults: Mapping[str, Command] = _NOTHING,
) -> Command:
    """The subcommand that the arguments name; exits with status 2 when they do not parse.

    `defaults` has, by the name of a subcommand, an instance whose values are its defaults.
    """
    if len(commands) == 1:
        # One subcommand is not a choice; the parser would expect its arguments without its name.
        [(name, kind)] = commands.items()
        only: Command = tyro.cli(
            kind,
            prog=f"{prog} {name}",
            args=current_flags(arguments[1:], former_flags),
            registry=_reflowing(),
        )
        return only
    kinds: list[Any] = []
    for name, kind in commands.items():
        default = defaults.get(name, tyro.MISSING_NONPROP)
        kinds.append(Annotated[kind, tyro.conf.subcommand(name, default=default)])
    # A union that is built from a table instead of written out is not a static type.
    any_of: Any = Union[tuple(kinds)]  # noqa: UP007
    command: Command = tyro.cli(
        any_of,
        prog=prog,
        description=f"{description}\n\n{prog} --version shows the version.",
        args=current_flags(arguments, former_flags),
        registry=_reflowing(),
    )
    return command


def current_flags(arguments: Sequence[str], former_flags: Mapping[str, str]) -> list[str]:
    """The arguments with each former flag replaced by its current name.

    `former_flags` maps former to current names (`--old` to `--new`); names that end with a dot
    (`--old.` to `--new.`) stand for all flags that begin with them. `--old value`, `--old=value`
    and underscores instead of hyphens are accepted.
    """
    words = []
    for word in arguments:
        name, equals, value = word.partition("=")
        words.append(f"{_current_flag(name, former_flags)}{equals}{value}")
    return words


def _current_flag(name: str, former_flags: Mapping[str, str]) -> str:
    if not name.startswith("--"):
        return name
    hyphened = name.replace("_", "-")
    if hyphened in former_flags:
        return former_flags[hyphened]
    for former, current in former_flags.items():
        if former.endswith(".") and hyphened.startswith(former):
            return current + hyphened.removeprefix(former)
    return name


def _reflowing() -> ConstructorRegistry:
    """Rules by which the docstrings of fields wrap at the width of the terminal.

    tyro keeps the line breaks of indented docstrings, which then break lines of the help.
    """
    registry = ConstructorRegistry()
    is_asking = False

    @registry.struct_rule
    def reflow(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal is_asking
        if is_asking or not dataclasses.is_dataclass(info.type):
            return None
        is_asking = True  # Then this rule does not apply, and tyro's own does.
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            is_asking = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        hidden = {
            field.name
            for field in dataclasses.fields(info.type)
            if not field.metadata.get("is_flag", True)
        }
        fields = tuple(
            dataclasses.replace(field, helptext=partial(_reflowed, field.helptext))
            for field in spec.fields
            if field.name not in hidden
        )
        return dataclasses.replace(spec, fields=fields)

    return registry


def _reflowed(text: str | Callable[[], str | None] | None) -> str | None:
    """The text with one line for each paragraph."""
    words = text() if callable(text) else text
    if words is None:
        return None
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in words.split("\n\n"))


def run_reporting_errors(work: Callable[[], int]) -> int:
    """Call `work`; errors that a user can cause become a line on stderr and an exit code."""
    try:
        return work()
    except ReelshardsError as error:
        message = plain_lines(with_paths(redacted(str(error))))
        sys.stderr.write(f"{error.prefix}{message}\n")
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", *_OUR_PACKAGES):
            raise
        advice = "pip install 'reelshards[pipeline,trainer]' installs what all commands need"
        sys.stderr.write(f"error: {missing} is not installed; {advice}\n")
        return ExitCode.UNUSABLE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to resume\n")
        return ExitCode.INTERRUPTED


def show_start(doing: str) -> None:
    """Say on a terminal what a command does that prints nothing before its end."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{doing}\n")
        sys.stderr.flush()


def print_json(values: Any) -> None:
    """Write JSON to stdout, indented."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


class PlainConsole(Console):
    """A console on which no text is markup, a link, an emoji code, or control of the terminal.

    Styles come from `Text` objects only. Every text is shown as it is, except for its control
    characters, see `redaction.plain_lines`.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of rich's console."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A `Text` of exactly this content; `options` are those of rich's console."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(plain_lines(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of anything, without control characters in their texts."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(plain_lines(segment.text), segment.style)


def new_console() -> PlainConsole:
    """A console on stdout, wide enough for whole lines where that is a file or a pipe."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=_LOG_WIDTH)


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout, with control characters in them shown as symbols."""
    sys.stdout.write("".join(f"{plain(line)}\n" for line in lines))


def write_notes(lines: Iterable[str]) -> None:
    """Write lines to stderr in the same way."""
    sys.stderr.write("".join(f"{plain(line)}\n" for line in lines))
