"""Hundreds of damaged movies in a real run: it ends, and each movie gets a correct status."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.__main__ import main
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from tests.support.datasets.outcome import programs_on
from tests.support.films.mutants import make_seeds, mutate

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "16", "--num-frames", "8", "--seed", "3", "--retry-seconds", "0.01"]


def known_classes() -> set[str]:
    """All error classes except `media`, which is for unforeseen faults."""
    found = {
        kind.error_class
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MovieError)
    }
    return {"", *found} - {"media"}


def run_mutants(folder: Path, mutants: list[tuple[int, int]]) -> Counter[str]:
    """Make mutants (number of the container, of the mutant), run them, check the statuses.

    Returns the number of movies by error class.
    """
    films, out, count = folder / "films", folder / "out", len(mutants)
    films.mkdir(parents=True)
    seeds = make_seeds(folder)
    for container, number in mutants:
        seed = seeds[container]
        mutant = mutate(seed.read_bytes(), seed.suffix, number)
        (films / f"m{number:04d}{seed.stem}{seed.suffix}").write_bytes(mutant)
    # The mutants are meant to fail: the failure rate must not abort the run.
    options = ["--stop-after", str(count + 1), "--max-attempts", "2"]
    assert main(["preprocess", str(films), "--out", str(out), *SMALL, *options]) in (0, 1)
    rows = open_dataset(str(out)).movies.to_pylist()
    assert len(rows) == count
    for row in rows:
        assert row["error_class"] in known_classes(), row
        assert row["status"] in ("done", "skipped", "quarantined"), row
        assert (row["status"] == "done") == (row["num_clips"] > 0), row
        assert row["status"] == "done" or row["error"], row
    assert validate(str(out)).ok
    assert programs_on(films) == []
    return Counter(row["error_class"] or "done" for row in rows)


@pytest.mark.usefixtures("local_ray")
def test_some_damaged_movies(tmp_path: Path) -> None:
    """Each of the eight kinds of mutants, in one of the four containers."""
    counts = run_mutants(tmp_path, [(kind * 3 % 4, kind) for kind in range(8)])
    assert counts["done"] >= 2
    assert len(counts) >= 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("local_ray")
def test_hundreds_of_damaged_movies(tmp_path: Path) -> None:
    """Each kind in each container eight times, each time with a different random mutation."""
    counts = run_mutants(tmp_path, list(product(range(4), range(64))))
    assert counts["done"] >= 50
    print(dict(counts))
