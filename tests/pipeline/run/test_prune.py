"""Movies removed from the corpus can be pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from shards_spec.reader import Dataset, open_dataset
from shards_spec.validation.validator import validate


def test_prune_lists_what_it_would_remove_and_removes_it(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    out, films = tmp_path / "out", tmp_path / "films"
    dataset = make_toy_dataset(str(out))
    movies = [row["movie_id"] for row in dataset.movies.to_pylist()]
    films.mkdir()
    for movie_id in movies[1:]:
        (films / f"{movie_id}.mp4").touch()
    stray = out / "shards" / movies[1] / f"{movies[1]}-00077.tar"
    stray.write_bytes(b"left over")
    before = sorted(str(path) for path in out.rglob("*"))
    assert main(["prune", str(out), str(films)]) == 0
    assert f"would remove {movies[0]}: 8 clips" in capsys.readouterr().out
    assert sorted(str(path) for path in out.rglob("*")) == before
    assert main(["prune", str(out), str(films), "--yes"]) == 0
    assert "removed 1 movies and 1 unused shards" in capsys.readouterr().out
    assert [row["movie_id"] for row in open_dataset(str(out)).movies.to_pylist()] == movies[1:]
    assert not stray.exists()
    assert not list(out.glob(f"shards/{movies[0]}/*"))
    assert validate(str(out)).ok
    # An empty corpus means a wrong path, never a request to delete everything.
    (tmp_path / "empty").mkdir()
    assert main(["prune", str(out), str(tmp_path / "empty"), "--yes"]) == 2
