"""Movies removed from the corpus can be pruned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation.validator import validate


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


def test_a_receipt_lists_every_object_that_was_removed(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    out, films, receipt = tmp_path / "out", tmp_path / "films", tmp_path / "kept" / "receipt"
    dataset = make_toy_dataset(str(out), num_movies=3, num_failed=1, shard_bytes=20_000)
    films.mkdir()
    (films / "movie-001.mp4").touch()
    stray = out / "shards/movie-001/movie-001-00077.tar"
    stray.write_bytes(b"left over")

    def files() -> dict[str, int]:
        folders = (out / "shards", out / "commits")
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(out).as_posix(): path.stat().st_size for path in paths}

    command = ["prune", str(out), str(films), "--json"]
    assert main([*command, "--receipt", str(receipt)]) == 2
    assert main(command) == 0
    listed = json.loads(capsys.readouterr().out)
    before = files()
    assert main([*command, "--yes", "--receipt", str(receipt)]) == 0
    printed = json.loads(capsys.readouterr().out)
    gone = {key: size for key, size in before.items() if key not in files()}
    values = json.loads((receipt / "receipt.json").read_text())
    for record in (listed, printed, values):
        assert {item["key"]: item["num_bytes"] for item in record["objects"]} == gone
        assert record["num_bytes"] == sum(gone.values())
        assert record["num_clips"] == 16
    names = [row["movie_id"] for row in values["movies"]]
    assert names == ["broken-000", "movie-000", "movie-002"]
    assert values["index_before"] == dataset.fingerprint
    assert values["index_after"] == open_dataset(str(out)).fingerprint != dataset.fingerprint
    assert open_dataset(str(receipt)).clips.equals(dataset.clips)
    # A second prune must not replace the receipt of the first one.
    assert main([*command, "--yes", "--receipt", str(receipt)]) == 2
    assert "does not exist yet" in capsys.readouterr().err
    assert json.loads((receipt / "receipt.json").read_text()) == values


def test_a_receipt_of_a_bucket(
    s3_bucket: str, tmp_path: Path, make_toy_dataset: Callable[..., Dataset]
) -> None:
    out, films = f"{s3_bucket}/data", tmp_path / "films"
    dataset = make_toy_dataset(out, num_movies=3)
    films.mkdir()
    (films / "movie-001.mp4").touch()
    folders = ("shards", "commits")
    before = {info.key: info.size for name in folders for info in dataset.storage.list(name)}
    receipt = tmp_path / "receipt"
    assert main(["prune", out, str(films), "--yes", "--receipt", str(receipt)]) == 0
    values = json.loads((receipt / "receipt.json").read_text())
    left = {info.key for name in folders for info in dataset.storage.list(name)}
    gone = {key: size for key, size in before.items() if key not in left}
    assert {item["key"]: item["num_bytes"] for item in values["objects"]} == gone
    assert {key.split("/")[1].removesuffix(".parquet") for key in gone} == {
        "movie-000",
        "movie-002",
    }
    assert open_dataset(out).movies["movie_id"].to_pylist() == ["movie-001"]
