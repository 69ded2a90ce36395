"""Drivers and workers that really die: the dataset opens and has all that was done before.

`test_interruptions` simulates the same at other writes, without processes.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.__main__ import main
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.dataset.validation.validator import validate
from shards_spec.schema.tables import clip_rows
from tests.support.films.media import Film, make_film
from tests.support.launch.kills import Launcher, Point
from tests.support.launch.runs import SMALL, preprocess

pytestmark = [
    pytest.mark.usefixtures("local_ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    # A dozen runs each, on a machine that may be busy.
    pytest.mark.timeout(3600),
]

#: Writes with which every command brings the index up to date.
INDEX = (
    Point("put", "index/parts/"),
    Point("put", "index/parts/movies-"),
    Point("put", "index/parts.json"),
    Point("delete", "index/parts/"),
    Point("put", "index/clips.parquet"),
    Point("put", "index/movies.parquet"),
    Point("put", "README.md"),
    Point("put", "croissant.json"),
    Point("put", "dataset.json"),
)
#: Also reached when a command removes the lease of a killed one.
END = Point("delete", "run.lock/")
START = Point("create", "run.lock/")
PRUNE = (
    START,
    *INDEX,
    *(Point("delete", key, n) for key in ("commits/", "shards/") for n in (1, 2)),
)
RETRY = (
    START,
    Point("put", "run.json"),
    Point("put", "commits/"),
    Point("put", "commits/", 2),
    *INDEX,
    END,
)
RERUN = (
    *(START, Point("put", "run.json"), Point("put", "commits/")),
    *(*INDEX, Point("delete", "shards/"), END),
)
assert len(PRUNE) == len(RETRY) == len(RERUN) == 14

#: With which codes a command ends: it may handle a signal, or already have nothing left to do.
CODES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGINT: {130},
    signal.SIGTERM: {-signal.SIGTERM, 143, 1},
}
EVERY_SIGNAL = tuple(CODES)
QUICK = ("--max-attempts", "2", "--retry-seconds", "0.01")


@dataclass(frozen=True)
class Setup:
    """A corpus with a dataset: three movies done, two quarantined."""

    folder: Path
    launcher: Launcher
    address: str
    """Of the Ray cluster that all drivers use."""

    @property
    def films(self) -> Path:
        return self.folder / "films"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def copy(self, folder: Path) -> Setup:
        """The same, elsewhere; records name the movies of the original."""
        shutil.copytree(self.folder, folder)
        return Setup(folder, self.launcher, self.address)

    def prune(self) -> list[str]:
        return ["prune", str(self.out), str(self.films), "--yes"]

    def retry(self) -> list[str]:
        return ["retry", str(self.out), *QUICK, "--address", self.address]

    def rerun(self) -> list[str]:
        command = ["preprocess", str(self.films), "--out", str(self.out)]
        return [*command, *SMALL, *QUICK, "--address", self.address]

    def kill(self, command: list[str], point: Point, number: signal.Signals) -> None:
        """The command gets the signal at the point; the dataset is as good as before."""
        code = self.launcher.run(command, point, number)
        assert code in CODES[number], (point, number.name, code)

    def readable(self) -> set[str]:
        """Movies of the index whose clips can all be read."""
        dataset = open_dataset(str(self.out))
        rows = clip_rows(dataset.clips)
        assert all(len(read_clips(dataset.storage, [row])) == 1 for row in rows)
        done = [row["movie_id"] for row in dataset.movies.to_pylist() if row["status"] == "done"]
        return set(done) & {row.movie_id for row in rows}


@pytest.fixture(scope="module")
def setup(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    import ray

    address = ray.get_runtime_context().gcs_address
    setup = Setup(tmp_path_factory.mktemp("kills"), Launcher(), address)
    setup.films.mkdir()
    for name in ("one", "two", "three"):
        make_film(setup.films / f"{name}.mp4", Film(seconds=4, width=96, height=64))
    for name in ("broken", "worse"):
        spoil(setup, name)
    assert preprocess(setup.films, setup.out) == 1
    return setup


def spoil(setup: Setup, name: str) -> None:
    """A source that has changed, and still is not a movie."""
    path = setup.films / f"{name}.mp4"
    size = path.stat().st_size if path.exists() else 20
    path.write_bytes(b"not a movie".ljust(size + 1))


def kill_prune(setup: Setup, folder: Path, numbers: tuple[signal.Signals, ...]) -> None:
    for number in numbers:
        for point in PRUNE:
            copy = setup.copy(folder / f"{number.name} {point}".replace("/", " "))
            for name in ("two", "three", "broken"):
                (copy.films / f"{name}.mp4").unlink()
            copy.kill(copy.prune(), point, number)
            assert "one" in copy.readable()
            assert main(copy.prune()) == 0
            assert copy.readable() == {"one"}
            assert validate(str(copy.out)).ok
            shutil.rmtree(copy.folder)


@pytest.mark.slow
def test_prune_is_killed(setup: Setup, tmp_path: Path) -> None:
    kill_prune(setup, tmp_path, (signal.SIGKILL,))


@pytest.mark.exhaustive
def test_prune_is_interrupted(setup: Setup, tmp_path: Path) -> None:
    kill_prune(setup, tmp_path, (signal.SIGINT, signal.SIGTERM))


@pytest.mark.exhaustive
def test_retry_is_killed(setup: Setup, tmp_path: Path) -> None:
    """Twelve times in a row on one dataset, so that the remains of all kills add up."""
    copy = setup.copy(tmp_path / "copy")
    for place, point in enumerate(RETRY):
        # The card is written only if it is new: a retry that changes nothing would not reach it.
        if point.prefix == "README.md":
            (copy.out / "README.md").unlink()
        copy.kill(copy.retry(), point, EVERY_SIGNAL[place % 3])
        assert copy.readable() == {"one", "two", "three"}, point
    assert main(copy.retry()) == 1
    assert copy.readable() == {"one", "two", "three"}
    assert validate(str(copy.out)).ok


@pytest.mark.exhaustive
def test_a_rerun_with_failures_is_killed(setup: Setup, tmp_path: Path) -> None:
    """The failures are committed by the first runs; the others bring the index up to date."""
    copy = setup.copy(tmp_path / "copy")
    for name in ("broken", "worse"):
        spoil(copy, name)
    for point in RERUN:
        if point.prefix == "shards/":
            make_film(copy.films / "one.mp4", Film(seconds=5, width=96, height=64))
        repeats = EVERY_SIGNAL if point in INDEX else (signal.SIGKILL,)
        for number in repeats:
            copy.kill(copy.rerun(), point, number)
            assert copy.readable() == {"one", "two", "three"}, (point, number.name)
    assert preprocess(copy.films, copy.out, *QUICK) == 1
    assert copy.readable() == {"one", "two", "three"}
    assert validate(str(copy.out)).ok


@pytest.mark.exhaustive
@pytest.mark.parametrize(("prefix", "with_driver"), [("shards/", False), ("commits/", True)])
def test_a_worker_is_killed(prefix: str, with_driver: bool, setup: Setup, tmp_path: Path) -> None:
    """Before it writes the shard, or the commit record, of a movie that has changed."""
    copy = setup.copy(tmp_path / "copy")
    make_film(copy.films / "one.mp4", Film(seconds=5, width=96, height=64))
    mark = tmp_path / "killed"
    command, point = copy.rerun(), Point("put", prefix)
    code = setup.launcher.run_with_killed_worker(command, point, mark, with_driver=with_driver)
    assert mark.exists()
    assert code == (-signal.SIGKILL if with_driver else 1)
    assert copy.readable() == {"one", "two", "three"}
    assert preprocess(copy.films, copy.out, *QUICK) == 1
    assert copy.readable() == {"one", "two", "three"}
    assert validate(str(copy.out)).ok
