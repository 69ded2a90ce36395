"""The card that every index update writes: what it says, and whose files it leaves alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shards_spec import layout
from shards_spec.dataset.card.licences import hub_id
from shards_spec.dataset.fingerprints.store import update_duplicates
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import write_ranges
from shards_spec.dataset.reader import Dataset
from shards_spec.dataset.validation import validate

FILES = (layout.README, layout.CROISSANT)


@pytest.fixture
def data(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Two movies of two clips, and one that failed."""
    return make_toy_dataset(str(tmp_path / "d"), num_movies=2, clips_per_movie=2, num_failed=1)


def card(data: Dataset) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Front matter and body of README.md, and croissant.json."""
    text = data.storage.get(layout.README).decode()
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body, json.loads(data.storage.get(layout.CROISSANT))


def set_columns(data: Dataset, movie_id: str, **columns: Any) -> None:
    """Give a movie further columns, as a manifest does, and update the index."""
    movie, clips = read_commit(data.storage, movie_id)
    write_commit(data.storage, dataclasses.replace(movie, extra=columns), clips)
    write_index(data.storage, data.recipe, "toy")


def test_the_front_matter_has_one_configuration_over_the_shards(data: Dataset) -> None:
    front, _, _ = card(data)
    (config,) = front["configs"]
    assert config["data_files"] == [{"split": "train", "path": "shards/**/*.tar"}]
    assert front["size_categories"] == ["n<1K"]


def test_figures_agree_with_the_index(data: Dataset) -> None:
    _, body, _ = card(data)
    totals = data.info["totals"]
    assert "| movies | 2 |" in body
    assert "| movies without clips | 1 quarantined |" in body
    assert f"| clips | {data.clips.num_rows} |" in body
    assert f"| shards | {totals['shards']}, {totals['shard_bytes']:,} bytes |" in body
    assert data.recipe.fingerprint in body


def test_croissant_names_the_tables_as_they_are_stored(data: Dataset) -> None:
    _, _, croissant = card(data)
    files = {item["@id"]: item for item in croissant["distribution"]}
    for key, table in {
        layout.CLIPS_PARQUET: data.clips,
        layout.MOVIES_PARQUET: data.movies,
    }.items():
        stored = data.storage.get(key)
        assert files[key]["sha256"] == hashlib.sha256(stored).hexdigest()
        assert files[key]["contentSize"] == f"{len(stored)} B"
        (records,) = (
            item for item in croissant["recordSet"] if key.endswith(f"/{item['@id']}.parquet")
        )
        assert [field["name"] for field in records["field"]] == table.schema.names
        assert records["key"]["@id"] in {field["@id"] for field in records["field"]}


def test_equal_indexes_have_equal_cards(data: Dataset) -> None:
    before = [data.storage.get(key) for key in FILES]
    for key in FILES:
        data.storage.delete(key)
    write_index(data.storage, data.recipe, "toy")
    assert [data.storage.get(key) for key in FILES] == before
    assert validate(data.storage).ok


def test_an_update_replaces_our_card(data: Dataset) -> None:
    write_index(data.storage, data.recipe, "toy", without=["movie-001"])
    _, body, croissant = card(data)
    assert "| movies | 1 |" in body
    assert "2 clips of 1 movies" in croissant["description"]


def test_a_file_of_somebody_else_stays(data: Dataset) -> None:
    for text in (b"", b"# Mine\n", b"\xff\xfe not text", b"x" * (5 << 20)):
        for key in FILES:
            data.storage.put(key, text)
        write_index(data.storage, data.recipe, "toy", without=["movie-001"])
        assert [data.storage.get(key) for key in FILES] == [text, text]


def test_a_link_or_a_folder_of_that_name_stays(data: Dataset, tmp_path: Path) -> None:
    ours = data.storage.get(layout.README)
    kept = tmp_path / "kept.md"
    kept.write_bytes(ours)
    for target in (kept, tmp_path / "nowhere"):
        data.storage.delete(layout.README)
        data.storage.local_path(layout.README).symlink_to(target)
        write_index(data.storage, data.recipe, "toy", without=["movie-001"])
        assert data.storage.local_path(layout.README).readlink() == target
    assert kept.read_bytes() == ours
    data.storage.delete(layout.README)
    data.storage.local_path(layout.README).mkdir()
    write_index(data.storage, data.recipe, "toy")
    assert data.storage.local_path(layout.README).is_dir()


def test_a_dataset_without_clips_has_a_card(data: Dataset) -> None:
    write_index(data.storage, data.recipe, "toy", without=["movie-000", "movie-001"])
    front, body, croissant = card(data)
    assert "| movies | 0 |" in body
    assert "license" not in front
    assert "license" not in croissant


def test_licences_are_listed_and_named_when_every_movie_states_one(data: Dataset) -> None:
    set_columns(data, "movie-000", License="CC BY 4.0", attribution="A <b>studio</b>")
    front, body, croissant = card(data)
    assert "license" not in front
    assert "license" not in croissant
    assert "| CC BY 4.0 | 1 |" in body
    assert "| not stated | 1 |" in body
    assert "| A &lt;b&gt;studio&lt;/b&gt; | 1 |" in body
    set_columns(data, "movie-001", licence="https://creativecommons.org/publicdomain/zero/1.0/")
    front, body, croissant = card(data)
    assert front["license"] == ["cc-by-4.0", "cc0-1.0"]
    assert croissant["license"] == [
        "CC BY 4.0",
        "https://creativecommons.org/publicdomain/zero/1.0/",
    ]
    set_columns(data, "movie-001", licence="ask us")
    front, _, croissant = card(data)
    assert "license" not in front
    assert croissant["license"] == ["CC BY 4.0", "ask us"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cc-by-sa-4.0", "cc-by-sa-4.0"),
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/deed.de", "cc-by-nc-nd-4.0"),
        ("CC0 1.0", "cc0-1.0"),
        (" MIT ", "mit"),
        ("cc-by-9.9", ""),
        ("all rights reserved", ""),
        ("cc-by-4.0\n- evil: true", ""),
    ],
)
def test_licences_as_hubs_name_them(text: str, name: str) -> None:
    assert hub_id(text) == name


HOSTILE = (
    "a | b\n---\nconfigs: []\n",
    "<script>alert(1)</script>",
    "](javascript:x) ![x](http://evil/?token=s3cret)",
    "\x1b[2J\u202e" + "x" * 5000,
    # In a time that grew with the square of the length, this would take minutes.
    "https://user:s3cret@host/" + "x" * 300_000,
    "https://user:s3cret" + "x" * 5_000 + "@host/",
    "word " * 199 + "https://user:s3cret" + "x" * 500 + "@host/",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_values_of_strangers_are_shown_as_plain_text(data: Dataset, text: str) -> None:
    movie, clips = read_commit(data.storage, "movie-000")
    movie = dataclasses.replace(
        movie, group=text, audio_language=text, video_codec=text, extra={"license": text, text: 1}
    )
    write_commit(data.storage, movie, clips)
    set_columns(data, "movie-001", license=text, tags=["a"], plain_name=2, odd={"a": 1})
    front, body, croissant = card(data)
    assert len(front["configs"]) == 1
    assert "license" not in front
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(line.replace("\\|", "").split("|")) for line in rows} == {4}
    assert max(map(len, rows)) < 1000
    for pattern in ("<script", r"(?<!\\)\]\(", "s3cret", "\x1b", "\u202e"):
        assert not re.search(pattern, body)
    names = [field["name"] for field in croissant["recordSet"][1]["field"]]
    assert {"license", "plain_name", "tags"} <= set(names)
    assert text not in names
    assert "s3cret" not in json.dumps(croissant)


def test_croissant_lists_labels_dropped_clips_and_near_duplicates(data: Dataset) -> None:
    storage = data.storage
    ranges = [LabeledRange("movie-000", 0, 10**9, "sad", None)]
    write_ranges(storage, "mood", ranges_table(ranges, data.movies, Findings()))
    write_index(storage, data.recipe, "toy")
    update_duplicates(data)
    _, _, croissant = card(data)
    records = {item["@id"]: item for item in croissant["recordSet"]}
    assert set(records) == {
        *("clips", "movies", "dropped", "duplicates", "label_ranges_mood", "clip_labels_mood"),
    }
    for item in croissant["distribution"]:
        if item["@type"] == "cr:FileObject":
            stored = storage.get(item["contentUrl"])
            assert item["sha256"] == hashlib.sha256(stored).hexdigest()
    named = [field["name"] for field in records["clip_labels_mood"]["field"]]
    assert named == ["clip_id", "movie_id", "start_ns", "label", "text", "overlap_ns", "overlap"]
    # What is gone is not listed.
    storage.delete("labels/mood.parquet")
    storage.delete(layout.DUPLICATES_PARQUET)
    write_index(storage, data.recipe, "toy")
    _, _, croissant = card(data)
    assert {item["@id"] for item in croissant["recordSet"]} == {"clips", "movies", "dropped"}
