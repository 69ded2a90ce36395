"""Reruns that change index rows without decoding; what runs report about their movies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shards_spec.dataset.index import read_commit, write_commit
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.storage import Storage
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess

pytestmark = [
    pytest.mark.usefixtures("local_ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small movies, one of them truncated."""
    folder = tmp_path_factory.mktemp("films")
    for name in ("a.mp4", "b.mkv"):
        make_film(folder / name, Film(seconds=4))
    data = make_film(folder / "whole.mkv", Film(seconds=12)).read_bytes()
    (folder / "whole.mkv").unlink()
    (folder / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    return folder


def _manifest(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "corpus.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _shards(out: Path) -> dict[Path, tuple[int, bytes]]:
    files = sorted(out.glob("shards/*/*.tar"))
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_columns_of_a_manifest_follow_it_without_decoding(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [
        {"uri": "a.mp4", "group": "g", "title": "Å, b", "year": 1927, "genres": ["drama", "sf"]},
        {"uri": "b.mkv", "group": "g", "score": 7.5},
    ]
    assert preprocess(_manifest(films, first), tmp_path) == 0
    movies = open_dataset(str(tmp_path)).movies
    assert movies["title"].to_pylist() == ["Å, b", None]
    assert movies["year"].to_pylist() == [1927, None]
    assert movies["year"].type == pa.int64()
    assert movies["genres"].to_pylist() == [["drama", "sf"], None]
    assert movies["score"].to_pylist() == [None, 7.5]
    assert validate(str(tmp_path)).ok
    before = _shards(tmp_path)
    second = [{"uri": "a.mp4", "group": "h", "year": "unknown"}, {"uri": "b.mkv", "year": 2001}]
    capsys.readouterr()
    assert preprocess(_manifest(films, second), tmp_path) == 0
    assert "2 of these were already there" in capsys.readouterr().out
    dataset = open_dataset(str(tmp_path))
    assert dataset.movies["group"].to_pylist() == ["h", "b"]
    assert set(dataset.clips["group"].to_pylist()) == {"h", "b"}
    assert dataset.movies["year"].to_pylist() == ["unknown", "2001"]
    assert "title" not in dataset.movies.schema.names
    assert _shards(tmp_path) == before
    assert validate(str(tmp_path)).ok


def test_groups_from_folders_are_set_by_a_rerun(films: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    (corpus / "Show" / "S01").mkdir(parents=True)
    (corpus / "Show" / "S01" / "E01.mp4").hardlink_to(films / "a.mp4")
    assert preprocess(corpus, out) == 0
    before = _shards(out)
    groups = []
    for depth in ("1", "2", "0"):
        assert preprocess(corpus, out, "--group-depth", depth) == 0
        groups += open_dataset(str(out)).movies["group"].to_pylist()
    assert groups == ["show", "show-s01", "show-s01-e01"]
    assert _shards(out) == before


def test_ids_of_a_dataset_do_not_change_when_movies_are_added(films: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    (corpus / "Alien").mkdir(parents=True)
    (corpus / "Alien" / "film.mp4").hardlink_to(films / "a.mp4")
    assert preprocess(corpus, out) == 0
    before = _shards(out)
    (corpus / "alien").mkdir()
    (corpus / "alien" / "film.mp4").hardlink_to(films / "a.mp4")
    assert preprocess(corpus, out) == 0
    ids = open_dataset(str(out)).movies["movie_id"].to_pylist()
    assert ids[0] == "alien-film"
    assert ids[1].startswith("alien-film-")
    assert before.items() <= _shards(out).items()


def test_truncated_movies_are_named_or_fail(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = films / "cut.mkv", tmp_path / "out"
    assert preprocess(corpus, out) == 0
    assert "cut off, the last " in " ".join(capsys.readouterr().out.replace("│", " ").split())
    (row,) = open_dataset(str(out)).movies.to_pylist()
    assert row["missing_ns"] > 2_000_000_000
    assert preprocess(corpus, out, "--incomplete", "fail") == 1
    (row,) = open_dataset(str(out)).movies.to_pylist()
    assert (row["status"], row["error_class"]) == ("quarantined", "incomplete")
    assert row["video_codec"] == "h264"
    assert row["missing_ns"] > 2_000_000_000
    assert preprocess(corpus, out) == 0
    assert open_dataset(str(out)).movies["status"].to_pylist() == ["done"]


def test_other_versions_are_reported_and_redone_on_request(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = films / "a.mp4", tmp_path / "out"
    assert preprocess(corpus, out) == 0
    (made,) = open_dataset(str(out)).movies.to_pylist()
    assert made["reelshards_version"]
    assert made["ffmpeg_version"]
    assert "other versions" not in capsys.readouterr().out
    storage = Storage(str(out))
    for change in ({"ffmpeg_version": "4.4"}, {"reelshards_version": "0.0.1"}):
        row, clips = read_commit(storage, "a")
        write_commit(storage, replace(row, **change), clips)
        assert preprocess(corpus, out) == 0
        said = capsys.readouterr().out
        assert "1 movies were made by other versions (" in said
        assert f"{next(iter(change.values()))}" in said
        assert preprocess(corpus, out, "--redo-versions") == 0
        assert "processed again because another version made it" in capsys.readouterr().out
        (again,) = open_dataset(str(out)).movies.to_pylist()
        assert {name: again[name] for name in change} == {name: made[name] for name in change}


def test_movies_without_clips_keep_their_columns(films: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    make_film(corpus / "mute.mkv", Film(seconds=4, audio=()))
    make_film(corpus / "short.mp4", Film(seconds=1))
    black = ("-vf", "drawbox=c=black:t=fill", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    make_film(corpus / "black.mp4", Film(seconds=4, video=black))
    (corpus / "good.mp4").hardlink_to(films / "a.mp4")
    assert preprocess(corpus, out) == 1
    rows = {row["movie_id"]: row for row in open_dataset(str(out)).movies.to_pylist()}
    assert {name: row["error_class"] for name, row in rows.items()} == {
        "black": "all_clips_dropped",
        "good": "",
        "mute": "no_audio_stream",
        "short": "too_short",
    }
    assert all(row["video_codec"] == "h264" for row in rows.values())
    assert all(row["video_width"] == 192 for row in rows.values())
    assert rows["black"]["dropped_black"] > 0
    dropped = open_dataset(str(out)).dropped()
    assert dropped is not None
    assert set(dropped["movie_id"].to_pylist()) == {"black"}
    assert dropped["reason"].to_pylist() == ["black"] * rows["black"]["dropped_black"]
    assert dropped["start_ns"].to_pylist()[0] == 0
    assert (rows["black"]["audio_codec"], rows["short"]["audio_codec"]) == ("aac", "aac")
    assert rows["short"]["duration_ns"] > 900_000_000


def test_ignored_files_are_counted(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    (corpus / ".Trash-1000").mkdir(parents=True)
    (corpus / "good.mp4").hardlink_to(films / "a.mp4")
    for name in ("a.srt", "b.srt", "poster.jpg", ".Trash-1000/deleted.mp4"):
        (corpus / name).write_bytes(b"x")
    assert preprocess(corpus, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "4 files or folders of the corpus were ignored: .srt 2, .jpg 1" in said
    assert "hidden or trash folders 1" in said
