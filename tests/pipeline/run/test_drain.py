"""Runs stop on request, and the same command resumes them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.run import drain
from shards_spec.dataset.validation.validator import validate
from tests.support.films.media import Film, make_film

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_two_real_runs_of_which_one_is_rejected_and_one_drained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for number in range(7):
        make_film(films / f"{number}.mp4", Film(seconds=7, width=96, height=64))
    arguments = ["preprocess", str(films), "--out", str(out), *SMALL, "--workers", "1"]
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        wait_for(lambda: list(out.glob("run.lock/*")))
        assert main(arguments) == 2
        assert "another run works on" in capsys.readouterr().err
        wait_for(lambda: list(out.glob("commits/*")))
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=500)
    assert first.returncode == 143
    assert "stopped on request: 0 movies in progress abandoned" in said
    assert "Run the same command again to resume" in said
    assert not list(out.glob("run.lock/*"))
    committed = {path: path.stat().st_mtime_ns for path in out.glob("commits/*")}
    assert 1 <= len(committed) < 7
    assert json.loads((out / "run.json").read_text())["state"] == "drained"
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    assert validate(str(out)).ok


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_the_hook_drains_the_runs_of_a_dataset_and_no_others(tmp_path: Path) -> None:
    """`python -m pipeline drain OUT` finds runs by their command lines."""
    films = tmp_path / "films"
    films.mkdir()
    for number in range(6):
        make_film(films / f"{number}.mp4", Film(seconds=7, width=96, height=64))
    mine, other = tmp_path / "mine", tmp_path / "other"
    command = [sys.executable, "-m", "pipeline", "preprocess", str(films), *SMALL, "--workers", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert drain.local_runs(str(mine)) == set()
    with subprocess.Popen([*command, "--out", str(mine)], **quiet) as run:
        wait_for(lambda: list(mine.glob("commits/*")))
        assert drain.local_runs(str(mine)) == {run.pid}
        assert drain.local_runs(str(other)) == set()
        assert drain.drain_local_runs(str(other)) == set()
        assert run.poll() is None
        assert drain.drain_local_runs(str(mine)) == set()
    assert run.returncode == 143
    assert json.loads((mine / "run.json").read_text())["state"] == "drained"


@pytest.mark.parametrize(
    ("options", "writes_to", "others"),
    [
        ("--out data", ["data", "data/"], ["dat", "data/small"]),
        ("--out=s3://b/data/", ["s3://b/data", "s3://b/data/"], ["data"]),
        (
            "--out data/ --view small:fps=5 --view=large:fps=1,short-side=256",
            ["data", "data/small", "data/large/"],
            ["small", "data/other"],
        ),
        (
            "--view small:fps=5,out=s3://b/small --out data --view b:fps=1",
            ["s3://b/small", "data", "data/b"],
            ["data/small"],
        ),
        ("--out data --view small:fps", [], ["data", "data/small"]),
    ],
)
def test_a_run_is_found_by_the_addresses_of_its_datasets(
    options: str, writes_to: list[str], others: list[str], tmp_path: Path
) -> None:
    """A process with the command line of a run, of which the last one would be refused."""
    arguments = ["-m", "pipeline", "preprocess", "films", *options.split()]
    command = [sys.executable, "-c", "print(flush=True); input()", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as run:
        assert run.stdout is not None
        run.stdout.readline()
        for address in writes_to:
            assert run.pid in drain.local_runs(address), address
        for address in others:
            assert run.pid not in drain.local_runs(address), address
        run.communicate("\n")
