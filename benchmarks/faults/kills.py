"""Random kills during `preprocess`, `retry` and `prune`: is the result that of an undisturbed run?

    python -m benchmarks.faults.kills [--kills 30] [--seed 1] [--minutes 60]

In each trial one process is killed with SIGKILL at a random moment: the driver, a worker, the
raylet, the control store or an ffmpeg. A run that ends before it has such a process is counted
apart. After a kill the same command is run again until it has ended. The
shards, the index without measured columns, and the list of all files must equal those of a dataset
that was never disturbed, and no process of the killed run may be left a minute later.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.support import RESULTS, processor
from tests.support.datasets.outcome import digests
from tests.support.films.media import Film, make_film

RESULT = RESULTS / "kills.md"
OPTIONS = ["--short-side", "32", "--num-frames", "8", "--seed", "3", "--workers", "2"]
#: Parts of command lines by which processes are found.
VICTIMS = {
    "driver": b"",
    "worker": b"ray::",
    "raylet": b"/raylet/raylet",
    "control store": b"gcs_server",
    "ffmpeg": b"ffmpeg",
}
#: Keys whose names are digests of measured values.
_MEASURED = re.compile(r"index/parts/movies-[0-9a-f]+")


@dataclass
class World:
    """A folder with a corpus, and the dataset as it is before the command."""

    folder: Path
    movies: Path
    command: list[str]
    """Arguments; `OUT` and `MOVIES` are placeholders for the paths."""
    code: int
    """Exit code of an undisturbed run."""
    expected: tuple[dict[str, str], set[str]] = field(default_factory=lambda: ({}, set()))


@dataclass(frozen=True)
class Trial:
    """One kill."""

    command: str
    victim: str
    second: float
    """When, after the start of the command."""
    code: int
    """Exit code of the run whose process was killed."""
    reruns: int
    outcome: str
    """Empty if all is as it should be."""
    is_hit: bool
    """Whether there was a process to kill."""


def started(world: World) -> subprocess.Popen[bytes]:
    """The command, as a process."""
    paths = {"OUT": str(world.folder / "out"), "MOVIES": str(world.movies)}
    words = [paths.get(word, word) for word in world.command]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", "pipeline", *words], stdout=quiet, stderr=quiet)


def contents(out: Path) -> tuple[dict[str, str], set[str]]:
    """Digests of a dataset, and the names of all of its files."""
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    return digests(out), {_MEASURED.sub("index/parts/movies-*", name) for name in names}


def processes_of(driver: int) -> dict[int, bytes]:
    """Processes that a driver started, by id, with their command lines."""
    entry = f"REELSHARDS_DRIVER={driver}-".encode()
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "cmdline").read_bytes()
    return found


def strike(run: subprocess.Popen[bytes], victim: str, deadline: float) -> bool:
    """Kill such a process as soon as there is one; returns whether there was."""
    if victim == "driver":
        run.kill()
        return True
    while run.poll() is None and time.monotonic() < deadline:
        pids = [pid for pid, line in processes_of(run.pid).items() if VICTIMS[victim] in line]
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(pids), signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False


def attempt(base: World, folder: Path, victim: str, fraction: float, seconds: float) -> Trial:
    """One trial on a copy of a world."""
    shutil.copytree(base.folder / "out", folder / "out")
    # The records name their sources by path, so the corpus is not copied.
    world = World(folder, base.movies, base.command, base.code)
    run = started(world)
    delay = fraction * seconds
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(delay)
    hit = run.poll() is None and strike(run, victim, time.monotonic() + seconds)
    code = run.wait()
    problems = []
    deadline = time.monotonic() + 60
    while (left := processes_of(run.pid)) and time.monotonic() < deadline:
        time.sleep(0.5)
    if left:
        problems.append(f"{len(left)} processes left")
    reruns = 0
    while reruns < 4:
        reruns += 1
        if started(world).wait() == world.code:
            break
    else:
        problems.append("did not end")
    found = contents(folder / "out")
    if found[0] != base.expected[0]:
        problems.append("other bytes")
    if found[1] != base.expected[1]:
        problems.append(f"other files: {sorted(found[1] ^ base.expected[1])[:4]}")
    return Trial(base.command[0], victim, delay, code, reruns, "; ".join(problems), hit)


def make_worlds(folder: Path) -> dict[str, tuple[World, float]]:
    """The three commands, each with its dataset before and after, and how long it takes."""
    worlds = {}
    for name in ("preprocess", "retry", "prune"):
        base = folder / name
        movies = base / "movies"
        movies.mkdir(parents=True)
        for number in range(4):
            make_film(movies / f"m{number}.mp4", Film(seconds=6 + number, width=96, height=64))
        (movies / "broken.mp4").write_bytes(b"not a movie")
        whole = World(base, movies, ["preprocess", "MOVIES", "--out", "OUT", *OPTIONS], 1)
        world = whole
        (base / "out").mkdir()
        if name == "retry":
            assert started(whole).wait() == 1
            make_film(movies / "broken.mp4", Film(seconds=8, width=96, height=64))
            world = World(base, movies, ["retry", "OUT", "--workers", "2"], 0)
        elif name == "prune":
            assert started(whole).wait() == 1
            (movies / "m1.mp4").unlink()
            (movies / "broken.mp4").unlink()
            world = World(base, movies, ["prune", "OUT", "MOVIES", "--yes"], 0)
        before = base / "before"
        shutil.copytree(base / "out", before)
        began = time.monotonic()
        assert started(world).wait() == world.code, name
        seconds = time.monotonic() - began
        world.expected = contents(base / "out")
        shutil.rmtree(base / "out")
        before.rename(base / "out")
        worlds[name] = (world, seconds)
        print(name, f"{seconds:.0f} s", flush=True)
    return worlds


def trials_of(
    worlds: dict[str, tuple[World, float]], folder: Path, options: argparse.Namespace
) -> Iterator[Trial]:
    """Trials until there are enough with a kill, or the time is over."""
    source, end = random.Random(options.seed), time.monotonic() + options.minutes * 60
    hits = number = 0
    while hits < options.kills:
        number += 1
        name = source.choice(["preprocess", "retry", "prune"])
        victim = source.choice(list(VICTIMS)) if name != "prune" else "driver"
        fraction = source.random()
        if time.monotonic() > end:
            return
        copy = folder / f"trial-{number}"
        copy.mkdir()
        trial = attempt(worlds[name][0], copy, victim, fraction, worlds[name][1])
        hits += trial.is_hit
        yield trial
        shutil.rmtree(copy)


def main() -> None:
    """Run the trials and write the result file after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as name:
        worlds = make_worlds(Path(name))
        for trial in trials_of(worlds, Path(name), options):
            print(trial, flush=True)
            trials.append(trial)
            options.out.write_text(report(trials, options))


def report(trials: list[Trial], options: argparse.Namespace) -> str:
    """The result file."""
    kills = [trial for trial in trials if trial.is_hit]
    good = sum(not trial.outcome for trial in kills)
    missed = [trial for trial in trials if not trial.is_hit]
    lines = [
        "# Random kills\n",
        f"`python -m benchmarks.faults.kills --seed {options.seed}`, on {processor()}. "
        f"After {good} of {len(kills)} kills the dataset had the bytes and the files of an "
        "undisturbed run, and no process was left after a minute. -9 is the end by SIGKILL. "
        f"{len(missed)} more runs had ended before there was a process to kill; "
        f"{sum(not trial.outcome for trial in missed)} of these left the right dataset too.\n",
        "| command | killed | after, s | its exit code | runs until the end | problem |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {trial.command} | {trial.victim} | {trial.second:.1f} | {trial.code} | {trial.reruns} "
        f"| {trial.outcome or 'none'} |"
        for trial in kills
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
