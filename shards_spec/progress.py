"""Progress bars on standard error, for commands that process a dataset movie by movie."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import Progress

from shards_spec import cli
from shards_spec.errors import InputError

#: Called with the number of movies that are done, and of all movies.
OnDone = Callable[[int, int], None]


@contextlib.contextmanager
def shown_progress(what: str) -> Iterator[OnDone]:
    """Show a progress bar while the context is open, if standard error is a terminal."""
    errors = cli.PlainConsole(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def require_threads(threads: int) -> None:
    """Raise `InputError` unless `threads` is at least 1."""
    if threads < 1:
        raise InputError(f"--threads {threads}: at least 1")
