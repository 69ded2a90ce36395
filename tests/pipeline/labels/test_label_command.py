"""The command `label` from files: what it writes, reports and refuses, in folders and buckets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import lease
from pipeline.__main__ import main
from reelshards.hub import take_inventory
from shards_spec.dataset.labels.tables import list_tables
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.errors import InputError
from shards_spec.storage import Storage

TABLE = """movie_id,start,end,mood
movie-000,0,1.6,sad
movie-001,0,,happy
other,0,1,sad
"""


def labels_of(uri: str, name: str) -> dict[str, str]:
    dataset = open_dataset(uri)
    table = dataset.labels(name)
    ids, labels = table["clip_id"].to_pylist(), table["label"].to_pylist()
    return dict(zip(ids, labels, strict=True))


def test_a_table_becomes_labels_that_survive_and_can_be_removed(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = str(tmp_path / "data"), tmp_path / "The moods.CSV"
    make_toy_dataset(out)
    file.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert main(["label", out]) == 0
    assert "has no labels" in capsys.readouterr().out
    assert main(["label", out, "--from", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "the_moods (labels): 2 ranges of 2 movies, on 10 clips" in printed
    assert "left out: 1 name no movie of the dataset (The moods.CSV line 4: other)" in printed
    found = labels_of(out, "the_moods")
    assert {name for name, label in found.items() if label == "sad"} == {
        "movie-000_000000",
        "movie-000_000001",
    }
    assert validate(out).ok
    assert {"labels/the_moods.parquet", "index/labels/the_moods.parquet"} < set(
        take_inventory(out).last
    )
    films = tmp_path / "films"
    films.mkdir()
    for movie_id in ("movie-001", "movie-002"):
        (films / f"{movie_id}.mp4").touch()
    receipt = tmp_path / "receipt"
    assert main(["prune", out, str(films), "--yes", "--receipt", str(receipt)]) == 0
    assert set(labels_of(out, "the_moods").values()) == {"happy"}
    assert (receipt / "index/labels/the_moods.parquet").exists()
    capsys.readouterr()
    assert main(["label", out, "--json"]) == 0
    assert [info["name"] for info in json.loads(capsys.readouterr().out)] == ["the_moods"]
    assert main(["label", out, "--remove", "the_moods"]) == 0
    assert list_tables(Storage(out)) == ()
    assert not list((tmp_path / "data").rglob("*the_moods*"))


def test_mistakes_are_counted_in_the_exit_code_and_as_json(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = str(tmp_path / "data"), tmp_path / "a.csv"
    make_toy_dataset(out)
    file.write_text("movie_id,start,end,label\nmovie-000,nan,2,x\nmovie-000,0,900,y\n")
    assert main(["label", out, "--from", str(file), "--name", "mine", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["num_ranges"], found["num_clips"]) == ("mine", 1, 8)
    assert {name: item["number"] for name, item in found["findings"].items()} == {
        "bad_time": 1,
        "cut": 1,
    }


@pytest.mark.parametrize(
    ("table", "flags", "message"),
    [
        ("movie_id,label\nother,x\n", [], "no label could be used, so nothing was written"),
        ("movie_id,start,end,label\nmovie-000,99,100,x\n", [], "outside of the movie"),
        ("movie_id,start,end\nmovie-000,0,1\n", [], "no a label or text|label or text"),
        ("movie_id,label\nmovie-000,x\n", ["--name", "class"], "cannot be the name"),
        ("movie_id,label\nmovie-000,x\n", ["--match", "imdb"], "no column 'imdb'"),
        ("movie_id,label\nmovie-000,x\n", ["--subtitles"], "cannot be combined"),
        (None, [], "cannot read"),
    ],
)
def test_unusable_input_writes_nothing(
    tmp_path: Path,
    make_toy_dataset: Callable[..., Dataset],
    capsys: pytest.CaptureFixture[str],
    table: str | None,
    flags: list[str],
    message: str,
) -> None:
    out, file = tmp_path / "data", tmp_path / "a.csv"
    make_toy_dataset(str(out), num_movies=1)
    if table is not None:
        file.write_text(table)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert main(["label", str(out), "--from", str(file), *flags]) == 2
    assert message.split("|")[-1] in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before
    assert not (out / "labels").exists()


def test_labels_in_a_bucket_from_a_file_in_a_bucket(
    s3_bucket: str, make_toy_dataset: Callable[..., Dataset]
) -> None:
    make_toy_dataset(f"{s3_bucket}/data")
    Storage(s3_bucket).put("tables/mood.csv", TABLE.encode())
    assert main(["label", f"{s3_bucket}/data", "--from", f"{s3_bucket}/tables/mood.csv"]) == 0
    assert labels_of(f"{s3_bucket}/data", "mood")["movie-000_000000"] == "sad"
    keys = [info.key for info in Storage(f"{s3_bucket}/data").list()]
    assert not [key for key in keys if key.startswith("run.lock")]


def test_no_labels_are_written_while_a_run_works_on_the_dataset(
    tmp_path: Path, make_toy_dataset: Callable[..., Dataset]
) -> None:
    out, file = str(tmp_path / "data"), tmp_path / "mood.csv"
    dataset = make_toy_dataset(out, num_movies=2)
    file.write_text(TABLE)
    with lease.hold_lease(dataset.storage):
        assert main(["label", out, "--from", str(file)]) == 2
    assert list_tables(dataset.storage) == ()
    with pytest.raises(InputError):
        labels_of(out, "mood")
