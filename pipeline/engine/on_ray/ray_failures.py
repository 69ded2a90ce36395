"""Turns what Ray raises for a failed task into errors of the pipeline."""

from __future__ import annotations

from ray import exceptions as ray_errors
from ray.exceptions import RayError, RayTaskError

from pipeline.engine.on_ray.cluster import first_line
from pipeline.errors import KilledError, LostError, MovieError, OutOfMemoryError
from pipeline.sources import Movie

#: Longest error message in an index, characters.
_MAX_MESSAGE = 4000


def task_error(movie: Movie, error: Exception) -> Exception:
    """The error behind a failed task: the task's own, or one that names what Ray reports."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        error = cause if isinstance(cause, Exception) else KilledError(first_line(error))
    if isinstance(error, ray_errors.OutOfMemoryError):
        return OutOfMemoryError(
            f"{movie.name}: Ray ended a task to protect its node's memory: {first_line(error)}"
        )
    if isinstance(error, ray_errors.WorkerCrashedError):
        return KilledError(f"{movie.name}: a worker process was killed, perhaps for lack of memory")
    if isinstance(error, RayError):
        return LostError(f"{movie.name}: a node or its data was lost: {first_line(error)}")
    return error


def unexpected_error(movie: Movie, error: Exception) -> MovieError:
    """A bug, reported under a class of its own so that it ends the movie and not the run."""
    return MovieError(f"{movie.name}: unexpected {type(error).__name__}: {first_line(error)}")


def shortened(message: str) -> str:
    """An error message of bounded length for the index."""
    return message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + "…"
