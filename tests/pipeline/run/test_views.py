"""Several datasets of one decode: each the same, byte for byte, as in a run of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import reelshards
from pipeline.views import parse_views, views_of
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from tests.support.datasets.outcome import digests
from tests.support.films import damage
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import SMALL, preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

_B_FRAMES = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "3")
_FILM = Film(seconds=9, width=96, height=64, gop=25, video=_B_FRAMES)
#: Name -> options of the run with that view alone.
VIEWS = {
    "fast": ["--fps", "7.5", "--overlap-frames", "2", "--store-audio"],
    "slow": ["--fps", "2", "--num-frames", "4", "--short-side", "48", "--n-mels", "40"],
    "shots": ["--clips", "shots", "--num-frames", "5", "--no-crop-bars", "--jpeg-quality", "70"],
}


def option(name: str) -> str:
    """`--view` for a view."""
    flags = [word for word in VIEWS[name] if word.startswith("--")]
    settings = []
    for flag in flags:
        position = VIEWS[name].index(flag)
        value = VIEWS[name][position + 1 : position + 2]
        given = value[0] if value and not value[0].startswith("--") else "true"
        key = flag.removeprefix("--")
        negative = key.startswith("no-")
        settings.append(f"{key.removeprefix('no-')}={'false' if negative else given}")
    return f"{name}:{','.join(settings)}"


def all_views(*names: str) -> list[str]:
    return [word for name in names or VIEWS for word in ("--view", option(name))]


def require_same(films: Path, out: Path, code: int, *options: str, names: Any = VIEWS) -> None:
    """Views in one run equal those in runs of their own."""
    assert preprocess(films, out, *all_views(*names), *options) == code
    for name in names:
        alone = out / f"alone-{name}"
        assert preprocess(films, alone, *VIEWS[name]) == code
        assert digests(out / name) == digests(alone), name
        assert validate(str(out / name)).ok


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("local_ray")
def test_each_dataset_is_that_of_a_run_of_its_own(films: Path, tmp_path: Path) -> None:
    make_film(films / "film.mp4", _FILM)
    require_same(films, tmp_path / "out", 0, "--segment-seconds", "3", names=["fast", "slow"])
    rows = open_dataset(str(tmp_path / "out/fast")).movies.to_pylist()
    assert [row["decode_mode"] for row in rows] == ["selective"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_movies_of_all_kinds(films: Path, tmp_path: Path) -> None:
    """Damaged, cut off, of a variable rate, interlaced, without audio, too short for a view."""
    film = make_film(tmp_path / "film.mp4", _FILM)
    (films / "film.mp4").write_bytes(film.read_bytes())
    damage.flip(film, films / "flipped.mp4", random.Random(1), 0.05)
    damage.lose_keys(film, films / "lost.mp4", random.Random(2), 0.3)
    mkv = make_film(tmp_path / "film.mkv", _FILM)
    (films / "cut.mkv").write_bytes(mkv.read_bytes()[: mkv.stat().st_size * 2 // 3])
    mpeg2 = ("-c:v", "mpeg2video", "-bf", "2")
    fields = (*mpeg2, "-flags", "+ilme+ildct", "-vf", "setfield=tff")
    make_film(films / "fields.ts", replace(_FILM, video=fields))
    stream = make_film(tmp_path / "stream.ts", replace(_FILM, video=mpeg2))
    damage.lose_ts(stream, films / "lost.ts", random.Random(3), 0.01)
    varied = ("-vf", "select='lt(mod(n,13),4)+eq(mod(n,7),0)'", "-fps_mode", "vfr")
    make_film(films / "varied.mkv", replace(_FILM, video=(*_B_FRAMES, *varied)))
    make_film(films / "silent.mp4", replace(_FILM, audio=()))
    # Long enough for a clip of one view, not of another.
    make_film(films / "short.mp4", replace(_FILM, seconds=1.5))
    (films / "broken.mp4").write_bytes(film.read_bytes()[:5000])
    require_same(films, tmp_path / "out", 1)
    require_same(films, tmp_path / "parts", 1, "--segment-seconds", "2.5")
    rows = {
        row["movie_id"]: row for row in open_dataset(str(tmp_path / "out/slow")).movies.to_pylist()
    }
    assert {row["status"] for row in rows.values()} >= {"done", "skipped", "quarantined"}


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_only_missing_views_are_made(films: Path, tmp_path: Path) -> None:
    make_film(films / "one.mp4", _FILM)
    out = tmp_path / "out"
    assert preprocess(films, out / "fast", *VIEWS["fast"]) == 0
    make_film(films / "two.mp4", replace(_FILM, seconds=7))
    committed = {path: path.stat().st_mtime_ns for path in out.glob("fast/commits/*")}
    assert len(committed) == 1
    require_same(films, out, 0)
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    everything = {path: path.stat().st_mtime_ns for path in out.glob("*/shards/**/*.tar")}
    assert preprocess(films, out, *all_views()) == 0
    assert {path: path.stat().st_mtime_ns for path in everything} == everything


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_killed_in_the_middle_and_restarted(films: Path, tmp_path: Path) -> None:
    for number in range(5):
        make_film(films / f"{number}.mp4", replace(_FILM, seconds=4 + number))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), "--out", str(out)]
    with subprocess.Popen(
        [*command, *SMALL, *all_views(), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        deadline = time.monotonic() + 240
        while not list(out.glob("*/commits/*.parquet")):
            assert run.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(run.pid, signal.SIGKILL)
    require_same(films, out, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_from_python(films: Path, tmp_path: Path) -> None:
    make_film(films / "film.mp4", _FILM)
    views = {"small": {"short_side": 32}, "large": {"short_side": 48, "out": tmp_path / "else"}}
    found = reelshards.preprocess(films, tmp_path / "out", views=views, num_frames=8)
    assert {name: summary.counts for name, summary in found.items()} == {
        "small": {"done": 1},
        "large": {"done": 1},
    }
    heights = [
        open_dataset(str(tmp_path / at)).clips["height"][0].as_py() for at in ("out/small", "else")
    ]
    assert heights == [32, 48]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_the_log_names_the_view(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_film(films / "film.mp4", _FILM)
    log = tmp_path / "log.jsonl"
    options = [*all_views("fast", "slow"), "--log-json", str(log), "--json"]
    assert preprocess(films, tmp_path / "out", *options) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    finished = {line["view"]: line["status"] for line in lines if line["event"] == "finished"}
    assert finished == {"fast": "done", "slow": "done"}
    printed = capsys.readouterr().out
    summary = json.loads(printed[printed.index("{") :])
    assert {name: view["run"]["movies_done"] for name, view in summary["views"].items()} == {
        "fast": 1,
        "slow": 1,
    }


def test_a_view_names_what_differs() -> None:
    given = parse_views(
        ["a:fps=2,short-side=64,store_audio=true", "b", "c:out=s3://x/y,clips=shots"]
    )
    views = views_of(given, "data/", Recipe(num_frames=4))
    assert [view.out for view in views] == ["data/a", "data/b", "s3://x/y"]
    assert views[0].recipe == Recipe(num_frames=4, fps=2.0, short_side=64, store_audio=True)
    assert views[1].recipe == Recipe(num_frames=4)
    assert views[2].recipe.clips == "shots"


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["a:language=de", "b:language=en"], "language"),
        (["a", "b:language=fr"], "language"),
        (["a:fps=1", "a:fps=2"], "twice"),
        (["a:fps=fast"], "fps=fast is not a float"),
        (["a:store-audio=maybe"], "store_audio"),
        (["a:fps"], "'fps' is not a setting"),
        (["a:speed=3"], "unknown settings speed"),
        (["a:fast_decode=true"], "unknown settings fast_decode"),
        (["a:short-side=100"], "view a: "),
        (["../a"], "letters"),
        ([":fps=3"], "letters"),
        (["a:out=x", "b:out=x/"], "same output"),
        (["a", "b:out=out/a"], "same output"),
    ],
)
def test_unusable_views_are_refused(texts: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        views_of(parse_views(texts), "out", Recipe())


def test_graphics_cards_are_refused(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_film(films / "film.mp4", replace(_FILM, seconds=2))
    options = [*all_views("fast", "slow"), "--hwaccel", "cuda"]
    assert preprocess(films, tmp_path / "out", *options) == 2
    assert "for one dataset only, not for 2 views" in capsys.readouterr().err


def test_fast_mode_is_refused(films: Path, tmp_path: Path) -> None:
    make_film(films / "film.mp4", replace(_FILM, seconds=2))
    options = [*all_views("fast", "slow"), "--decode", "fast"]
    assert preprocess(films, tmp_path / "out", *options) == 2
