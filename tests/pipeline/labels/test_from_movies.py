"""Subtitles and chapters of real files, with times on the movie timeline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.labels.from_movies import read_chapters, read_subtitles
from pipeline.labels.sidecars import choose_sidecar
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.schema import MovieRow
from tests.support.films.media import Film, ffmpeg, make_film

SRT = """1
00:00:01,000 --> 00:00:02,500
Good <i>evening</i>.

2
00:00:03,000 --> 00:00:03,500
Bye.
"""
CUES = [(1.0, 2.5, "Good evening."), (3.0, 3.5, "Bye.")]
CHAPTERS = ";FFMETADATA1\n" + "".join(
    f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\n{title}"
    for start, end, title in ((0, 2000, "title=The start\n"), (2000, 4000, ""))
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds."""
    folder = tmp_path_factory.mktemp("film")
    return make_film(folder / "heat.mp4", Film(seconds=4, fps=Fraction(10), width=64, height=48))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With `subtitles.srt` and `chapters.txt`, outside of the corpus."""
    (tmp_path / "subtitles.srt").write_text(SRT)
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    (tmp_path / "films").mkdir()
    return tmp_path


def row_of(path: Path) -> MovieRow:
    (movie,) = [item for item in find_movies(str(path.parent)) if item.uri.endswith(path.name)]
    return MovieRow(
        movie_id=movie.movie_id,
        group=movie.movie_id,
        source_uri=movie.uri,
        source_bytes=movie.num_bytes,
        source_fingerprint=fingerprint(movie),
        recipe_fingerprint="",
        status="done",
        duration_ns=4 * 10**9,
        num_clips=1,
        source_modified_ns=movie.modified_ns,
    )


def cues(ranges: tuple[LabeledRange, ...]) -> list[tuple[float, float, str | None]]:
    return [
        (round(item.start_ns / 1e9, 3), round(item.end_ns / 1e9, 3), item.text) for item in ranges
    ]


@pytest.mark.parametrize(
    ("name", "codec"), [("heat.mkv", "srt"), ("heat.mkv", "ass"), ("heat.mp4", "mov_text")]
)
def test_a_text_track_inside_of_the_movie(film: Path, folder: Path, name: str, codec: str) -> None:
    path = folder / "films" / name
    ffmpeg("-i", film, "-i", folder / "subtitles.srt", "-map", "0", "-map", "1", "-c", "copy",
           "-c:s", codec, path)  # fmt: skip
    found = read_subtitles([row_of(path)])
    assert cues(found.ranges) == CUES
    assert found.findings.all() == ()


@pytest.mark.parametrize("suffix", [".srt", ".en.srt", ".vtt", ".EN.SRT"])
def test_a_file_next_to_the_movie_comes_first(film: Path, folder: Path, suffix: str) -> None:
    path = folder / "films" / "heat.mp4"
    shutil.copy(film, path)
    text = SRT.replace(",", ".")
    (path.parent / f"heat{suffix}").write_text(f"WEBVTT\n\n{text}" if "vtt" in suffix else SRT)
    (path.parent / "heat2.srt").write_text("of another movie")
    assert cues(read_subtitles([row_of(path)]).ranges) == CUES


def test_times_count_from_the_start_of_the_video(film: Path, folder: Path) -> None:
    """Here the container begins with audio, half a second before the video."""
    path = folder / "films" / "late.mkv"
    ffmpeg("-itsoffset", "0.5", "-i", film, "-i", film, "-i", folder / "subtitles.srt", "-map",
           "0:v", "-map", "1:a", "-map", "2", "-c", "copy", "-c:s", "srt", path)  # fmt: skip
    inside = cues(read_subtitles([row_of(path)]).ranges)
    shutil.copy(folder / "subtitles.srt", path.with_suffix(".srt"))
    beside = cues(read_subtitles([row_of(path)]).ranges)
    for found in (inside, beside):
        assert [text for _, _, text in found] == ["Good evening.", "Bye."]
        assert [start for start, _, _ in found] == pytest.approx([0.5, 2.5], abs=0.05)


def test_the_language_decides(film: Path, folder: Path) -> None:
    path = folder / "films" / "heat.mkv"
    german = folder / "german.srt"
    german.write_text(SRT.replace("Good <i>evening</i>.", "Guten Abend."))
    ffmpeg("-i", film, "-i", folder / "subtitles.srt", "-i", german, "-map", "0", "-map", "1",
           "-map", "2", "-c", "copy", "-c:s", "srt", "-metadata:s:s:0", "language=eng",
           "-metadata:s:s:1", "language=ger", "-disposition:s:0", "default", path)  # fmt: skip
    row = row_of(path)
    assert read_subtitles([row]).ranges[0].text == "Good evening."
    assert read_subtitles([row], language="de").ranges[0].text == "Guten Abend."
    french = read_subtitles([row], language="fr")
    assert (french.ranges, french.num_without) == ((), 1)


def test_chapters(film: Path, folder: Path) -> None:
    path = folder / "films" / "heat.mkv"
    ffmpeg("-i", film, "-i", folder / "chapters.txt", "-map", "0", "-map_chapters", "1", "-c",
           "copy", path)  # fmt: skip
    found = read_chapters([row_of(path)]).ranges
    assert [item.label for item in found] == ["The start", "chapter 2"]
    # The video begins 21 ms after the container.
    times = [item.start_ns / 1e9 for item in found] + [found[-1].end_ns / 1e9]
    assert times == pytest.approx([0, 2, 4], abs=0.05)
    assert times[0] == 0


def test_movies_that_cannot_be_read_are_counted(film: Path, folder: Path) -> None:
    films = folder / "films"
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"):
        shutil.copy(film, films / name)
    rows = [row_of(films / name) for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")]
    (films / "a.mp4").unlink()
    (films / "b.mp4").write_bytes(b"another movie")
    (folder / "secret.srt").write_text(SRT)
    (films / "c.srt").symlink_to(folder / "secret.srt")
    (films / "d.srt").write_bytes(os.urandom(3000))
    found = read_subtitles(rows)
    assert found.ranges == ()
    (finding,) = found.findings.all()
    assert (finding.reason, finding.number, found.num_without) == ("unreadable", 4, 1)
    assert cues(read_subtitles(rows[2:3], follow_links=True).ranges) == CUES


@pytest.mark.parametrize(
    ("names", "language", "chosen"),
    [
        (["heat.srt", "heat.en.srt"], "", "heat.srt"),
        (["heat.srt", "heat.en.srt"], "en", "heat.en.srt"),
        (["heat.srt", "heat.de.srt"], "en", "heat.srt"),
        (["heat.de.srt"], "en", None),
        (["heat.en.forced.srt", "heat.eng.srt"], "en", "heat.eng.srt"),
        (["HEAT.VTT"], "", "HEAT.VTT"),
        (["heat2.srt", "heat.txt", "heat (1995).srt"], "", None),
    ],
)
def test_which_file_belongs_to_a_movie(names: list[str], language: str, chosen: str | None) -> None:
    assert choose_sidecar("heat.mp4", names, language) == chosen


def test_the_command_reads_subtitles_of_a_dataset(
    film: Path,
    folder: Path,
    make_toy_dataset: Callable[..., Dataset],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = folder / "films" / "heat.mp4", str(folder / "data")
    shutil.copy(film, path)
    shutil.copy(folder / "subtitles.srt", path.with_suffix(".srt"))
    dataset = make_toy_dataset(out, num_movies=1)
    row, clips = read_commit(dataset.storage, "movie-000")
    own = row_of(path)
    for name in ("source_uri", "source_bytes", "source_fingerprint", "source_modified_ns"):
        object.__setattr__(row, name, getattr(own, name))
    write_commit(dataset.storage, row, clips)
    write_index(dataset.storage, dataset.recipe, "toy")
    assert main(["label", out, "--subtitles"]) == 0
    assert "subtitles (text): 2 ranges of 1 movies, on 4 clips" in capsys.readouterr().out
    assert main(["label", out, "--chapters"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert open_dataset(out).clips.num_rows == 8
