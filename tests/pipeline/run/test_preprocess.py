"""Complete runs on Ray: always the same bytes, and a correct account of failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import webdataset

from pipeline.__main__ import main
from pipeline.config import RunConfig
from pipeline.engine.events import Event, MovieFinished
from pipeline.run import preprocess as run_preprocess
from pipeline.run.progress import Progress
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.dataset.validation.validator import validate
from shards_spec.recipe import Recipe
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage
from tests.support.datasets.outcome import digests
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import SMALL, preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def whole(local_ray: None, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    assert preprocess(corpus, out) == 0
    return out


def test_plain_webdataset_reads_the_shards(whole: Path) -> None:
    urls = [str(path) for path in sorted(whole.glob("shards/*/*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert len(samples) == 13
    for sample in samples:
        assert sample["frames.jpg"].shape == (8 * 32, 54, 3)
        assert sample["logmel.npy"].shape == (80, 160)
        assert sample["json"]["clip_id"] == sample["__key__"]


@pytest.mark.usefixtures("local_ray")
def test_a_bucket_gets_the_same_bytes(corpus: Path, whole: Path, s3_bucket: str) -> None:
    source, out = f"{s3_bucket}/films", f"{s3_bucket}/out"
    films = Storage(source)
    for path in corpus.iterdir():
        films.put(path.name, path)
    assert preprocess(source, out) == 0
    assert validate(out).ok
    remote, local = open_dataset(out), open_dataset(str(whole))
    assert remote.clips == local.clips
    rows = clip_rows(remote.clips)
    for row in rows:
        (sample,) = read_clips(remote.storage, [row])
        assert sample.frames.shape == (8, 32, 54, 3)
    assert not any("stage" in info.key for info in Storage(s3_bucket).list())


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_killed_in_the_middle_and_restarted(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for number in range(6):
        make_film(films / f"{number}.mp4", Film(seconds=4 + number, width=96, height=64))
    assert preprocess(films, tmp_path / "whole") == 0
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), "--out", str(out)]
    with subprocess.Popen(
        [*command, *SMALL, "--workers", "1"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        deadline = time.monotonic() + 240
        while not list(out.glob("commits/*.parquet")):
            assert run.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(run.pid, signal.SIGKILL)
    committed = {path: path.stat().st_mtime_ns for path in out.glob("commits/*.parquet")}
    assert 1 <= len(committed) < 6
    assert not (out / "dataset.json").exists()
    assert preprocess(films, out) == 0
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    assert digests(out) == digests(tmp_path / "whole")


@pytest.mark.usefixtures("local_ray")
def test_training_can_start_on_finished_movies(corpus: Path, tmp_path: Path) -> None:
    """The index of the movies so far is written with the first finished movie."""
    seen: list[int] = []

    def look(progress: Progress, event: Event | None) -> None:
        if isinstance(event, MovieFinished) and not seen:
            deadline = time.monotonic() + 120
            while not (tmp_path / "dataset.json").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            seen.append(open_dataset(str(tmp_path)).movies.num_rows)

    recipe = Recipe(short_side=32, num_frames=8, seed=3)
    config = RunConfig(index_movies=1)
    run_preprocess(str(corpus), str(tmp_path), recipe, config, look)
    # A second movie may have been committed while the first was announced.
    assert seen in ([1], [2])
    assert open_dataset(str(tmp_path)).movies.num_rows == 2


@pytest.mark.usefixtures("local_ray")
def test_clips_in_shots_for_any_segments(tmp_path: Path) -> None:
    films, whole, parts = (tmp_path / name for name in ("films", "whole", "parts"))
    films.mkdir()
    # Each flash is a cut: shots of 2, 4, 4 and 3 s.
    make_film(films / "film.mp4", Film(seconds=13, flash_seconds=4.0, gop=25))
    assert preprocess(films, whole, "--clips", "shots") == 0
    assert preprocess(films, parts, "--clips", "shots", "--segment-seconds", "2") == 0
    assert digests(parts) == digests(whole)
    assert validate(str(parts)).ok
    clips = open_dataset(str(parts)).clips.to_pylist()
    starts = sorted(clip["start_ns"] / 1e9 for clip in clips)
    assert starts == pytest.approx([0.0, 2.0, 3.6, 6.0, 7.6, 10.0])
    assert not any(clip["num_cuts"] for clip in clips)


@pytest.mark.usefixtures("local_ray")
def test_a_rerun_keeps_finished_movies_and_redoes_changed_ones(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for path in corpus.iterdir():
        (films / path.name).write_bytes(path.read_bytes())
    assert preprocess(films, out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/**/*.tar")}
    capsys.readouterr()
    assert preprocess(films, out) == 0
    assert "2 of these were already there" in capsys.readouterr().out
    make_film(films / "two.mkv", Film(seconds=7, tint=(60, 90, 60)))
    make_film(films / "three.mp4", Film(seconds=5))
    assert preprocess(films, out) == 0
    assert "1 processed again because the source changed" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in out.glob("shards/**/*.tar")}
    kept = [path for path in before if after.get(path) == before[path]]
    assert [path.parent.name for path in kept] == ["one"]
    assert len(after) == 3
    assert validate(str(out)).ok
    assert preprocess(films, out, "--fps", "8", "--jpeg-quality", "80") == 0
    text = capsys.readouterr().out
    why = "the recipe changed (fps 5.0 -> 8.0, jpeg_quality 90 -> 80)"
    assert f"3 processed again because {why}" in " ".join(text.replace("│", " ").split())
    assert validate(str(out)).ok
    assert preprocess(films, out) == 0
    (films / "one.mp4").unlink()
    assert preprocess(films, out) == 0
    assert "1 movies of the dataset are not in this corpus" in capsys.readouterr().out
    # The recipe cannot change while the dataset has a movie that is not there to be redone.
    assert preprocess(films, out, "--fps", "4") == 2
    assert "another recipe" in capsys.readouterr().err


@pytest.mark.usefixtures("local_ray")
def test_one_bad_movie_never_stops_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    make_film(films / "good.mp4", Film(seconds=5))
    make_film(films / "mute.mp4", Film(seconds=5, audio=()))
    make_film(films / "short.mp4", Film(seconds=1))
    (films / "garbage.mkv").write_bytes(b"\0" * 5000)
    assert preprocess(films, out) == 1
    text = capsys.readouterr().out
    assert "1 done, 2 quarantined, 1 skipped" in text
    assert validate(str(out)).ok
    movies = {row["movie_id"]: row for row in open_dataset(str(out)).movies.to_pylist()}
    classes = {movie_id: row["error_class"] for movie_id, row in movies.items()}
    assert classes == {
        "garbage": "unreadable",
        "good": "",
        "mute": "no_audio_stream",
        "short": "too_short",
    }
    assert movies["mute"]["attempts"] == 1
    # Unchanged rerun: nothing is attempted, the account is the same.
    assert preprocess(films, out) == 1
    assert main(["status", str(out), "--json"]) == 1
    status = json.loads(capsys.readouterr().out.split("\n{", 1)[1].join(["{", ""]))
    assert status["run"]["state"] == "finished"
    # Repaired and requested: now it is done.
    make_film(films / "mute.mp4", Film(seconds=5))
    assert main(["retry", str(out)]) == 1
    assert "1 done, 1 quarantined" in capsys.readouterr().out
    assert main(["report", str(out), "--html", str(tmp_path / "r.html")]) == 1
    assert "mute" in (tmp_path / "r.html").read_text()


@pytest.mark.usefixtures("local_ray")
def test_a_source_that_vanishes_is_retried_and_then_fails(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "gone.mp4").symlink_to(films / "nowhere.mp4")
    assert preprocess(films, tmp_path / "out", "--retry-seconds", "0.01") == 1
    (row,) = open_dataset(str(tmp_path / "out")).movies.to_pylist()
    assert (row["status"], row["error_class"]) == ("failed", "source_unavailable")
    assert row["attempts"] == 4


@pytest.mark.usefixtures("local_ray")
def test_a_run_with_an_infrastructure_failure_stops_and_quarantines_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for number in range(12):
        (films / f"{number}.mp4").symlink_to(films / "nowhere.mp4")
    options = ["--retry-seconds", "0.01", "--max-attempts", "2", "--stop-after", "6"]
    assert preprocess(films, out, *options) == 2
    err = capsys.readouterr().err
    assert "6 of 6 movies failed with 'source_unavailable'" in err
    assert "check that every node can reach the sources" in err
    assert not list(out.glob("commits/*"))
    assert main(["status", str(out)]) == 0
    assert "interrupted" in capsys.readouterr().out
