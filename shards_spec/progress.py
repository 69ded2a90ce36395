"""Progress of commands that go through the movies of a dataset, on a terminal's standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import Progress

from shards_spec import cli
from shards_spec.errors import InputError

#: Called with how many are done, and how many there are.
OnDone = Callable[[int, int], None]


@contextlib.contextmanager
def shown_progress(what: str) -> Iterator[OnDone]:
    """Show a bar for as long as the context lasts; nothing where there is no terminal."""
    errors = cli.PlainConsole(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def require_threads(threads: int) -> None:
    """Raise `InputError` unless there is at least one."""
    if threads < 1:
        raise InputError(f"--threads {threads}: at least 1")
