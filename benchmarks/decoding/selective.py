"""What leaving frames out of the decoder saves: CPU seconds of decoding all segments.

    python -m benchmarks.decoding.selective MOVIE...

Decodes each movie alternately with and without the frames that no clip needs, and compares the
results. CPU seconds are those of this process and of the programs that it runs.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pipeline.movie import steps
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from pipeline.video import selection_of
from shards_spec.recipe import Recipe

Result = TypeVar("Result")

NUM_ROUNDS = 2
SEGMENT_SECONDS = 300.0


def main() -> None:
    """Print one row of a Markdown table per movie."""
    print("| movie | frames | left out | full, s | selective, s | ratio | same bytes |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:]:
        (movie,) = find_movies(name)
        with open_source(movie, fingerprint(movie)) as source:
            print(_row(movie, source), flush=True)


def _row(movie: Movie, source: Readable) -> str:
    recipe = Recipe(crop_bars=False)
    costs: dict[str, list[float]] = {"whole": [], "selective": []}
    plan = steps.prepare(movie, source, recipe, SEGMENT_SECONDS)
    results = []
    for _ in range(NUM_ROUNDS):
        for kind, used in (("whole", plan.whole()), ("selective", plan)):
            results.append(_measured(costs[kind], partial(_decode, used, source)))
    selection = selection_of(plan)
    assert selection is not None, f"{movie.name} has no frames that may be left out"
    least = {kind: min(found) for kind, found in costs.items()}
    is_same = all(result == results[0] for result in results)
    return (
        f"| {movie.name} | {len(selection.pts):,} | {selection.num_left_out:,} | "
        f"{least['whole']:.1f} | {least['selective']:.1f} | "
        f"{least['whole'] / least['selective']:.2f} | {'yes' if is_same else 'NO'} |"
    )


def _decode(plan: MoviePlan, source: Readable) -> list[bytes]:
    return [steps.run_segment(plan, part, source)[1].tobytes() for part in plan.segments]


def _measured(costs: list[float], work: Callable[[], Result]) -> Result:
    before = _cpu_seconds()
    result = work()
    costs.append(_cpu_seconds() - before)
    return result


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
