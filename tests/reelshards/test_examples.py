"""The scripts in `examples/` run unchanged, and stay short."""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import reelshards as rs
from tests.support.films.media import Film, make_film

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object) -> str:
    """Run an example in this process, which has loaded its packages; returns its output."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return out.getvalue()


def run_alone(name: str, *arguments: object) -> str:
    """Run an example that starts processes, as a user would; returns its output."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    paths = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 25


def test_every_example_is_run() -> None:
    text = Path(__file__).read_text()
    names = [path.name for path in EXAMPLES.glob("*.py")]
    assert [n for n in names if f'run("{n}"' not in text and f'run_alone("{n}"' not in text] == []


def test_preprocess(tmp_path: Path) -> None:
    (tmp_path / "movies").mkdir()
    make_film(tmp_path / "movies" / "one.mp4", Film(seconds=7.0))
    (tmp_path / "movies" / "broken.mp4").write_bytes(b"not a movie")
    out = run_alone("preprocess.py", tmp_path / "movies", tmp_path / "shards")
    assert "'done': 1" in out
    assert "broken: unreadable: " in out
    assert rs.open_dataset(tmp_path / "shards").clips.num_rows == 4


def test_read_clips(toy_data: rs.Dataset) -> None:
    out = run("read_clips.py", toy_data.storage.uri)
    assert out.startswith("63 clips at ")
    assert "movie-003: 11 clips; the loudest starts at " in out
    assert "frames (4, 32, 48, 3) uint8, log-mel (16, " in out


def test_training_loop(toy_data: rs.Dataset) -> None:
    lines = run_alone("training_loop.py", toy_data.storage.uri).splitlines()
    epochs = {line.split()[0] for line in lines}
    assert epochs == {"0", "1"}


def test_embed(toy_data: rs.Dataset, trained_run: Path) -> None:
    lines = run("embed.py", toy_data.storage.uri, trained_run).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("video of movie-000_")


def test_embed_movie(trained_run: Path, tmp_path: Path) -> None:
    movie = make_film(tmp_path / "one.mp4", Film(seconds=4.0))
    lines = run("embed_movie.py", movie, trained_run).splitlines()
    assert len(lines) >= 3
    assert lines[0].startswith("   0.0 s looks most like ")


def test_plan_report(toy_data: rs.Dataset) -> None:
    out = run("plan_report.py", toy_data.storage.uri)
    assert "4 movies x 2 clips: rho 0.143, " in out
    assert "2 movies x 4 clips: rho 0.429, " in out
