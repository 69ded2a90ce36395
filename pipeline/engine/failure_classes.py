"""What a failure means: one table, from which every decision about a failure comes.

    error -> `failure_class` -> whether and when to retry     `FailureClass.retry`, see `retries`
                             -> how the movie ends            `FailureClass.status`
                             -> whether the run should stop   `FailureClass.fault`, see `health`
                             -> what a person should do       `FailureClass.advice`

The table in `docs/operations.md` is `markdown_table()`; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline import errors
from shards_spec.errors import StorageError
from shards_spec.schema.columns import Status

Retry = Literal["never", "as it is", "with more memory", "for free"]
Fault = Literal["movie", "infrastructure", "pipeline"]

#: Attempts lost to a node failure do not count, up to this many.
MAX_LOST_ATTEMPTS = 20


@dataclass(frozen=True)
class FailureClass:
    """Everything that follows from one kind of failure."""

    name: str
    """`error_class` in the index, in logs and in metrics."""
    retry: Retry
    """Whether a later attempt can succeed, and what it needs. `for free`: the attempt does not
    count, because the machine failed and not the task."""
    status: Status
    """What a movie becomes when no attempt is left. The next run processes `failed` movies again,
    `quarantined` ones only after a change of source or recipe or by `retry`."""
    fault: Fault
    """Where the cause lies when many movies fail in this way. Anything but `movie` stops the run
    once most movies have failed with it."""
    meaning: str
    """What happened; Markdown."""
    advice: str
    """What to do; Markdown."""

    @property
    def plain_advice(self) -> str:
        """The advice for a terminal."""
        return self.advice.replace("`", "")


_TABLE = (
    FailureClass(
        "unreadable",
        "never",
        "quarantined",
        "movie",
        "the file is corrupt or not a movie",
        "replace the file; the next run notices the change",
    ),
    FailureClass(
        "decode_failed",
        "never",
        "quarantined",
        "movie",
        "ffmpeg gave up, or returned too few frames or samples",
        "replace the file; the next run notices the change",
    ),
    FailureClass(
        "no_frames",
        "never",
        "quarantined",
        "movie",
        "no frame can be decoded",
        "replace the file; the next run notices the change",
    ),
    FailureClass(
        "no_video_stream",
        "never",
        "quarantined",
        "movie",
        "there is no video stream, or only cover art",
        "remove the file from the corpus",
    ),
    FailureClass(
        "no_audio_stream",
        "never",
        "quarantined",
        "movie",
        "there is no audio stream",
        "remove the file, or add an audio track",
    ),
    FailureClass(
        "encrypted",
        "never",
        "quarantined",
        "movie",
        "the streams are encrypted",
        "decrypt the file",
    ),
    FailureClass(
        "dolby_vision_only",
        "never",
        "quarantined",
        "movie",
        "Dolby Vision without a base layer that other decoders can show (profile 5)",
        "use a version with a base layer, or convert it",
    ),
    FailureClass(
        "no_decoder",
        "never",
        "quarantined",
        "infrastructure",
        "this ffmpeg lacks the codec, or the network protocol that reading by range needs",
        "set `FFMPEG_BINARY` to a build that has it, or use `--sources staged`; then `retry`",
    ),
    FailureClass(
        "too_short",
        "never",
        "skipped",
        "movie",
        "shorter than one clip",
        "nothing, or use another recipe",
    ),
    FailureClass(
        "incomplete",
        "never",
        "quarantined",
        "movie",
        "the file was cut off: it is shorter than it declares, and `--incomplete` is `fail`",
        "replace the file, or use `--incomplete keep`",
    ),
    FailureClass(
        "all_clips_dropped",
        "never",
        "skipped",
        "movie",
        "every clip was dropped (black, silent, frozen, damaged)",
        "nothing, or use another recipe",
    ),
    FailureClass(
        "too_large",
        "never",
        "quarantined",
        "movie",
        "beyond `--max-source-gib`, `--max-movie-hours`, `--max-side`, `--max-streams` or "
        "`--max-packets`, or tables that no genuine movie has",
        "raise the limit if the movie is genuine, then `retry`; remux it if its header or "
        "timestamps are wrong",
    ),
    FailureClass(
        "outside_corpus",
        "never",
        "quarantined",
        "movie",
        "a link that leads out of the corpus, a pipe, or a device",
        "use `--follow-links` if that is intended",
    ),
    FailureClass(
        "source_denied",
        "never",
        "quarantined",
        "infrastructure",
        "the store denies access to this object",
        "check the credentials and the object's permissions, then `retry`",
    ),
    FailureClass(
        "source_unavailable",
        "as it is",
        "failed",
        "infrastructure",
        "the source could not be opened or read",
        "check that every node can reach the sources, then run again",
    ),
    FailureClass(
        "source_changed",
        "as it is",
        "failed",
        "infrastructure",
        "the source was replaced during the run",
        "run again when nothing writes to the corpus",
    ),
    FailureClass(
        "timed_out",
        "as it is",
        "failed",
        "infrastructure",
        "no progress, or over a time limit",
        "run again with fewer tasks per node or faster storage, or raise "
        "`--no-progress-seconds`, `--ffmpeg-hours`, `--movie-hours`",
    ),
    FailureClass(
        "lost",
        "for free",
        "failed",
        "infrastructure",
        f"{MAX_LOST_ATTEMPTS} attempts were lost with their nodes",
        "check the nodes, then run again",
    ),
    FailureClass(
        "killed",
        "with more memory",
        "failed",
        "infrastructure",
        "ffmpeg or its worker was killed",
        "give the nodes more memory or raise `--task-memory-gib`; look for the kernel's OOM killer",
    ),
    FailureClass(
        # Not `failed`: a movie that uses up any amount of memory would be retried by every run.
        "out_of_memory",
        "with more memory",
        "quarantined",
        "infrastructure",
        "not enough memory, even after it was doubled",
        "raise `--ffmpeg-memory-gib` and `--task-memory-gib`, or lower `--workers`; then `retry`",
    ),
    FailureClass(
        "disk_full",
        "as it is",
        "failed",
        "infrastructure",
        "no space left on a node",
        "free disk space, lower `--stage-gib`, or use `--sources ranged`",
    ),
    FailureClass(
        "media",
        "never",
        "quarantined",
        "pipeline",
        "an unexpected error: a bug",
        "report it with the message",
    ),
)

CLASSES = {entry.name: entry for entry in _TABLE}

#: The dataset's own store; it never ends a movie, because the run stops with it.
_STORAGE = FailureClass(
    "storage",
    "as it is",
    "failed",
    "infrastructure",
    "the dataset's store failed",
    "check the store, then run again",
)


def failure_class(error: Exception) -> FailureClass:
    """The table's entry for an error; errors that are not of the pipeline count as bugs."""
    if isinstance(error, StorageError):
        return _STORAGE
    if isinstance(error, errors.MovieError):
        return CLASSES[error.error_class]
    return CLASSES[errors.MovieError.error_class]


def markdown_table() -> str:
    """The table of error classes in `docs/operations.md`."""
    lines = ["| error class | retried | final status | meaning | what to do |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| `{entry.name}` | {entry.retry} | `{entry.status}` | {entry.meaning} | {entry.advice} |"
        for entry in _TABLE
    ]
    return "\n".join(lines)
