"""However the command is killed, nothing that it started keeps running, and no litter stays."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.demo.freedoom.supervisor import supervised
from pipeline.demo.workers import make_in_processes
from shards_spec.errors import ReelshardsError
from tests.support.launch.descendants import Family, needs_proc

LONG = ["--num-movies", "3", "--min-seconds", "300", "--max-seconds", "300"]


def _start(code: list[str], family: Family, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *code],
        env={**os.environ, **family.env, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_drawn_movies_stop_with_their_command(tmp_path: Path, how: signal.Signals) -> None:
    family, out, scratch = Family(), tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    command = _start(["-m", "pipeline", "demo-corpus", str(out), *LONG], family, scratch)
    family.wait_for("libx264")
    command.send_signal(how)
    command.wait()
    family.wait_until_gone()
    assert [path.name for path in out.iterdir()] == ["corpus.json"]


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["command", "worker", "supervisor"])
def test_the_game_stops_with_its_command(tmp_path: Path, victim: str) -> None:
    for package in ("vizdoom", "midirenderer", "pretty_midi"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"not installed: {package}")
    family, out, scratch = Family(), tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    options = ["--kind", "freedoom", "--freedoom.seconds", "600", "--freedoom.frame", "160x120"]
    command = _start(["-m", "pipeline", "demo-corpus", str(out), *options], family, scratch)
    engine = family.wait_for("vizdoom/vizdoom -iwad")
    instance = family.commands()[engine].partition("+viz_instance_id ")[2].split()[0]
    time.sleep(1)  # it is in the middle of the map rather than at its start
    pid = {
        "command": command.pid,
        "worker": family.wait_for("spawn_main"),
        "supervisor": family.wait_for("supervisor.py"),
    }[victim]
    os.kill(pid, signal.SIGKILL)
    command.wait()
    family.wait_until_gone()
    assert not list(out.glob("*.mp4"))
    assert not list(scratch.iterdir())
    if victim != "supervisor":
        assert not list(Path("/dev/shm").glob(f"ViZDoom*{instance}"))


@needs_proc
def test_a_supervised_program_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    family = Family()
    code = (
        "import subprocess, sys, pathlib\n"
        "from pipeline.demo.freedoom.supervisor import supervised\n"
        "program = supervised(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
        "subprocess.run([str(program), '98765'])\n"
    )
    sleep = next(path for path in ("/bin/sleep", "/usr/bin/sleep") if os.path.exists(path))
    parent = _start(["-c", code, sleep, str(tmp_path)], family, tmp_path)
    family.wait_for("sleep 98765")
    parent.kill()
    parent.wait()
    family.wait_until_gone()


@pytest.mark.parametrize(("arguments", "status"), [("exit 0", 0), ("exit 7", 7), ("kill $$", 143)])
def test_a_supervised_program_reports_its_end(tmp_path: Path, arguments: str, status: int) -> None:
    program = supervised(Path("/bin/sh"), tmp_path)
    assert subprocess.run([program, "-c", arguments], check=False).returncode == status


def _die(index: int) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return str(index)


def test_a_killed_worker_is_a_clear_error() -> None:
    with pytest.raises(ReelshardsError, match="was killed"):
        list(make_in_processes(_die, [0, 1], 1))
