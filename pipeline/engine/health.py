"""Notices a run that is wrong as a whole, so that it stops instead of writing off the corpus.

Films fail one by one for reasons of their own. When most of them fail for one and the same reason
of the machinery (a store that does not answer, a full disk, a missing decoder), the films are not
at fault, and going on would only produce a long list of failures.
"""

from __future__ import annotations

from collections import Counter

from pipeline.errors import MovieError
from shards_spec.errors import InputError

#: Permanent for a film, but with a cause outside of it when nearly every film has it.
_MACHINERY = frozenset({"no_decoder", "source_denied", "media"})

_ADVICE = {
    "no_decoder": "set FFMPEG_BINARY to a build that has the decoder",
    "source_denied": "check the credentials for the sources",
    "source_unavailable": "check that every node reaches the sources",
    "disk_full": "make room on the nodes, or lower --stage-gib",
    "out_of_memory": "raise --ffmpeg-memory-gib and --task-memory-gib, or lower --workers",
    "killed": "give the nodes more memory, or raise --task-memory-gib",
    "timed_out": "the nodes are too busy or their storage is too slow",
    "media": "this looks like a bug: please report it with the messages above",
}


class RunStoppedError(InputError):
    """The run was stopped because it fails as a whole; its films are not at fault."""


class Health:
    """Counts how the films of a run end."""

    def __init__(self, stop_after: int, stop_share: float) -> None:
        """Stop when `stop_after` films and more than `stop_share` of all ended for one reason."""
        self._stop_after = stop_after
        self._stop_share = stop_share
        self._finished = 0
        self._failed: Counter[str] = Counter()
        self._movie_ids: dict[str, list[str]] = {}

    def note_end(self, movie_id: str, error: MovieError | None) -> str:
        """A film ended, with `error` or well. The class that the run must stop for, or empty."""
        self._finished += 1
        if error is None:
            return ""
        name = error.error_class
        if error.kind == "permanent" and name not in _MACHINERY:
            return ""
        self._failed[name] += 1
        self._movie_ids.setdefault(name, []).append(movie_id)
        count = self._failed[name]
        over = count >= self._stop_after and count > self._stop_share * self._finished
        return name if over else ""

    def movies_of(self, error_class: str) -> list[str]:
        """The films that ended for that reason."""
        return self._movie_ids.get(error_class, [])

    def stopped(self, error_class: str, last: MovieError) -> RunStoppedError:
        """The error that ends the run."""
        advice = _ADVICE.get(error_class, "see the message")
        return RunStoppedError(
            f"stopped: {self._failed[error_class]} of {self._finished} films failed with "
            f"{error_class!r}, so the films are hardly at fault; {advice}, then run again "
            f"(these films are not written off). The last one: {last}"
        )
