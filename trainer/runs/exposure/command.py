"""Prints what a run has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shards_spec.cli import print_json, write_lines
from trainer.runs.exposure.compute import Exposure, MovieExposure, compute_exposure

#: Most runs of steps in a line; JSON has all of them.
_MAX_RANGES = 20


def exposure_command(
    run: str, movies: Sequence[str], data: Sequence[str], *, as_json: bool
) -> None:
    """Print which checkpoint of a run has seen which movie."""
    exposure = compute_exposure(run, movies, data)
    if as_json:
        print_json(exposure.to_json())
    else:
        write_lines(_lines(exposure, with_steps=bool(movies)))


def _lines(exposure: Exposure, *, with_steps: bool) -> Iterator[str]:
    checkpoints = ", ".join(f"{item.name} (step {item.step})" for item in exposure.checkpoints)
    yield f"{exposure.run}: {exposure.steps_done} steps on {', '.join(exposure.data)}"
    yield f"checkpoints: {checkpoints}"
    if exposure.init_from:
        yield (
            f"it started from the weights in {exposure.init_from}, which have seen movies of their "
            "own"
        )
    for movie in exposure.movies:
        yield _line(movie)
        if not with_steps:
            continue
        seen = [f"{name}: {count or 'never'}" for name, count in movie.steps_by_checkpoint.items()]
        yield f"  steps with it by checkpoint: {', '.join(seen)}"
        if movie.steps:
            yield f"  at steps {_ranges(movie.steps)}"


def _line(movie: MovieExposure) -> str:
    if not movie.num_steps:
        of = f" of {movie.copy_of}" if movie.copy_of else ""
        return f"{movie.movie_id}: never ({movie.use}{of})"
    return (
        f"{movie.movie_id}: {movie.num_steps:,} steps, {movie.num_clips:,} clips, first at step "
        f"{movie.first_step}, last at step {movie.last_step}"
    )


def _ranges(steps: Sequence[int]) -> str:
    """`1-3, 7, 9-10`."""
    ranges: list[list[int]] = []
    for step in steps:
        if ranges and step == ranges[-1][1] + 1:
            ranges[-1][1] = step
        else:
            ranges.append([step, step])
    texts = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges]
    more = [f"and {len(texts) - _MAX_RANGES} more (see --json)"] if len(texts) > _MAX_RANGES else []
    return ", ".join((*texts[:_MAX_RANGES], *more))
