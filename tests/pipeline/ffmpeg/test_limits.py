"""Limits of movies; no secrets in output, no orphaned processes."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

import pipeline.ffmpeg as ffmpeg_package
from pipeline.__main__ import main
from pipeline.errors import MovieError, OutOfMemoryError, TimedOutError, TooLargeError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_arguments, input_stream
from pipeline.limits import Limits
from pipeline.movie.rows import Cost, bare_row
from pipeline.movie.steps import prepare
from pipeline.sources import Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.recipe import Recipe
from shards_spec.redaction import redacted
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened_file


def look(path: Path, bounds: Limits) -> MovieError:
    """The error of a movie under `bounds`."""
    (movie,) = find_movies(str(path))
    with (
        pytest.raises(MovieError) as caught,
        open_source(movie, fingerprint(movie), limits=bounds) as source,
    ):
        prepare(movie, source, Recipe(), 60.0)
    return caught.value


def test_each_limit_has_its_message(tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.mkv", Film(seconds=5, width=192, height=64))
    ffmpeg("-i", film, *["-map", "0:a"] * 7, "-map", "0:v", "-c", "copy", tmp_path / "many.mkv")
    for path, bounds, message in [
        (film, Limits(max_source_gib=1e-6), "--max-source-gib"),
        (film, Limits(max_movie_hours=0.001), "--max-movie-hours"),
        (film, Limits(max_side=128), "--max-side"),
        (tmp_path / "many.mkv", Limits(max_streams=4), "--max-streams"),
    ]:
        error = look(path, bounds)
        assert isinstance(error, TooLargeError), error
        assert message in str(error)


def test_ffmpeg_is_stopped_if_it_needs_too_much_memory(tmp_path: Path) -> None:
    source = opened_file(make_film(tmp_path / "a.mkv", Film(seconds=2)))
    source.limits = Limits(ffmpeg_memory_gib=0.5)
    graph = "scale=12000:12000,tile=2x2"
    command = [ffmpeg_path(), "-v", "error", *input_arguments(source), "-vf", graph]
    command += ["-f", "null", "-"]
    with (
        pytest.raises(OutOfMemoryError, match="--ffmpeg-memory-gib"),
        FfmpegProcess(command, source, what="a.mkv") as run,
    ):
        run.finish(tolerate_errors=True)


def test_a_decoder_without_memory_is_not_a_damaged_movie() -> None:
    """It reports every packet for which it has no frame buffer as corrupt, and continues."""
    # The shell does not accept ffmpeg's memory option.
    source = Readable("file:a.mkv", "", Limits(ffmpeg_memory_gib=0.0))
    words = "echo '[h264] get_buffer() failed' >&2; seq 99 >&2; exit 69"
    with (
        pytest.raises(OutOfMemoryError, match="--ffmpeg-memory-gib"),
        FfmpegProcess(["sh", "-c", words], source, what="a.mkv") as run,
    ):
        run.finish(tolerate_errors=True)


@pytest.mark.parametrize(
    ("command", "bounds", "message"),
    [
        (["sleep", "300"], Limits(no_progress_seconds=0.3), "no output for 0.3 s"),
        (["yes"], Limits(ffmpeg_hours=0.3 / 3600), "over the limit of 0.3 s"),
    ],
)
def test_a_program_that_hangs_or_never_ends_is_stopped(
    command: list[str], bounds: Limits, message: str
) -> None:
    source = Readable("file:a.mkv", "", dataclasses.replace(bounds, ffmpeg_memory_gib=0.0))
    with FfmpegProcess(command, source, what="a.mkv") as run:
        reads = iter(lambda: run.read_some(1 << 16), b"")
        with pytest.raises(TimedOutError, match=message):
            deque(reads, maxlen=0)


@pytest.mark.parametrize("option", ["--no-progress-seconds", "--ffmpeg-hours", "--movie-hours"])
def test_time_limits_are_options_and_must_be_positive(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preprocess", str(tmp_path), "--out", str(tmp_path / "o"), option, "0"]) == 2
    assert option.strip("-").replace("-", "_") in capsys.readouterr().err


@pytest.mark.parametrize("protocols", ["file,pipe", "http,tcp"])
def test_every_input_is_restricted(protocols: str) -> None:
    """The same limits, before `-i`, in every command."""
    source = Readable("file:/a", "", Limits(max_streams=7, max_side=100))
    source.protocols = protocols
    words = input_arguments(source)
    assert words[-2:] == ["-i", "file:/a"]
    options = dict(zip(words[:-2:2], words[1:-2:2], strict=True))
    assert options["-protocol_whitelist"] == protocols
    assert "concat" not in options["-format_whitelist"].split(",")
    assert (options["-max_streams"], options["-max_pixels"]) == ("7", "10000")
    compiled = input_stream(source, ss="3").output("-").compile("ffmpeg")
    before = compiled[: compiled.index("-i")]
    assert all(before[before.index(name) + 1] == value for name, value in options.items())


def test_nothing_else_composes_inputs() -> None:
    """An input without the whitelists could open other files or the network."""
    root = Path(ffmpeg_package.__file__).parents[1]
    for path in root.rglob("*.py"):
        room = path.relative_to(root).parts[0]
        if room not in ("ffmpeg", "demo"):
            assert not re.search(r"""ffmpeg\.input\(|["']-i["']""", path.read_text()), path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://me:secret@host/a.mp4: gone", "https://***@host/a.mp4: gone"),
        ("see https://h/a.mp4?X-Amz-Signature=ab/c&x=1 now", "see https://h/a.mp4?*** now"),
        ("(GET 's3://b/k?token=1')", "(GET 's3://b/k?***')"),
        ("path /k?X-Amz-Credential=AKIA%2F1&n=2", "path /k?X-Amz-Credential=***&n=2"),
        ("get http://h/a.mp4;jsessionid=1A2B?x=1 now", "get http://h/a.mp4;jsessionid=*** now"),
        ("http://h/a;v=1/b.mp4;sid=7 gone", "http://h/a;v=***/b.mp4;sid=*** gone"),
        ("http://h/(S(abc1))/a.mp4", "http://h/(S(***))/a.mp4"),
        ("https://h/a.mp4#access_token=xyz", "https://h/a.mp4#access_token=***"),
        ("https://h/a.mp4?a=1;b=2,c=3 and", "https://h/a.mp4?*** and"),
        ("https://me:p@ss@host/a.mp4", "https://***@host/a.mp4"),
        ("a.mp4;JSESSIONID=1A2B", "a.mp4;JSESSIONID=***"),
        ("?PHPSESSID=99&api_key=5", "?PHPSESSID=***&api_key=***"),
        ("file:///films/a;b=c.mp4", "file:///films/a;b=c.mp4"),
        ("s3://bucket/film one.mp4", "s3://bucket/film one.mp4"),
        ("file:///films/a%3Fb.mp4", "file:///films/a%3Fb.mp4"),
    ],
)
def test_secrets_are_hidden(text: str, wanted: str) -> None:
    assert redacted(text) == wanted


def test_the_index_contains_no_secrets(tmp_path: Path) -> None:
    make_film(tmp_path / "a.mkv", Film(seconds=1))
    (movie,) = find_movies(str(tmp_path / "a.mkv"))
    movie = dataclasses.replace(movie, uri="https://me:word@host/a.mkv")
    row = bare_row(movie, "0" * 16, Recipe(), "failed", Cost(1, 0.0, 0.0))
    assert "word" not in row.to_json()


_WORKER = """
import sys
from pipeline.ffmpeg import FfmpegProcess
from pipeline.limits import Limits
from pipeline.sources import Readable
source = Readable("file:x", "", Limits(ffmpeg_memory_gib=0))
with FfmpegProcess(sys.argv[1:], source, what="x") as run:
    print(run._process.pid, flush=True)
    run.read_exactly(1)
"""


def test_no_ffmpeg_outlives_its_worker() -> None:
    """A killed worker cannot clean up, but its processes must end anyway."""
    # A program that would outlive it; a blocked ffmpeg would notice the closed pipe.
    command = ["sleep", "300"]
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, *command], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        os.kill(child, 0)
        worker.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


#: Messages between the trainer's own processes are not data from outside.
OWN_PROCESSES = ("worker.py", "messages.py")


@pytest.mark.parametrize("package", ["pipeline", "shards_spec", "trainer"])
def test_no_data_is_executed(package: str) -> None:
    """No pickle, eval, exec or shell anywhere; model files contain numbers, not code."""
    folder = Path(__file__).parents[3] / package
    assert list(folder.rglob("*.py"))
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import) and path.name not in OWN_PROCESSES:
                assert not {n.name for n in node.names} & {"pickle", "marshal", "shelve"}, where
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "os.system", "os.popen"), where
                if called == "torch.load":
                    words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    assert words.get("weights_only") == "True", where
                for word in node.keywords:
                    assert not (word.arg == "shell" and ast.unparse(word.value) == "True"), where
                    assert not (word.arg == "allow_pickle" and ast.unparse(word.value) == "True"), (
                        where
                    )


@pytest.mark.parametrize(
    "script",
    [
        "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done",
        "for i in 1 2 3 4 5 6 7 8; do printf x; sleep 0.25; done; echo",
        "head -c 100000 /dev/zero; sleep 0.7; head -c 100000 /dev/zero; sleep 0.7; echo",
    ],
)
def test_a_slow_program_is_not_stopped_while_it_makes_progress(script: str) -> None:
    """Two seconds in total, with pauses shorter than the limit."""
    limits = Limits(no_progress_seconds=1.2, ffmpeg_memory_gib=0.0)
    source = Readable("file:a.mkv", "", limits)
    with FfmpegProcess(["sh", "-c", script], source, what="a.mkv") as run:
        while run.read_some(1):
            pass
        run.finish()


def test_a_slow_caller_is_not_an_idle_program() -> None:
    source = Readable("file:a.mkv", "", Limits(no_progress_seconds=0.5, ffmpeg_memory_gib=0.0))
    with FfmpegProcess(["sh", "-c", "seq 3"], source, what="a.mkv") as run:
        lines = run.lines()
        next(lines)
        time.sleep(0.8)
        assert len(list(lines)) == 2
        run.finish()
