"""A run killed at any point leaves a dataset that opens and has every movie completed before.

A kill is simulated in the driver: from the chosen write on, no write reaches the store any more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.dataset.validation.validator import validate
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess
from tests.support.samples import mostly_slow

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.usefixtures("local_ray"),
]

#: Writes at which a command is killed: in `make test`, and in the slow tests.
FEW_POINTS, MANY_POINTS = 4, 12
POINTS = pytest.mark.parametrize(
    "num_points", mostly_slow([FEW_POINTS, MANY_POINTS], (FEW_POINTS,))
)
#: Retries would only delay these tests.
QUICK = ["--retry-seconds", "0.01", "--max-attempts", "2"]


class KilledError(BaseException):
    """The process was killed."""


class Writes:
    """Counts the writes of this process to any store; from number `last` on, none succeeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.last = 10**9
        for name in ("put", "create", "delete"):
            monkeypatch.setattr(Storage, name, self._counted(getattr(Storage, name)))

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count >= self.last:
                raise KilledError
            return method(*arguments, **options)

        return counted


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writes]:
    with monkeypatch.context() as patch:
        yield Writes(patch)


@pytest.fixture(scope="module")
def before(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus `films` and the dataset `out` in a folder: three movies done, two quarantined."""
    folder = tmp_path_factory.mktemp("before")
    films = folder / "films"
    films.mkdir()
    for number, name in enumerate(("one", "two", "three")):
        make_film(films / f"{name}.mp4", Film(seconds=4 + number, width=96, height=64))
    for name in ("broken", "repaired"):
        (films / f"{name}.mp4").write_bytes(b"not a movie")
    assert preprocess(films, folder / "out") == 1
    return folder


def kill_at_each_point(
    before: Path,
    folder: Path,
    writes: Writes,
    prepare: Callable[[Path], None],
    command: Callable[[Path], int],
    kept: set[str],
    code: int,
    num_points: int = MANY_POINTS,
) -> None:
    """Run `command` on copies of a dataset and kill it at some of its writes, spread over all.

    After each kill the movies `kept` are there, and running it again ends with `code`.
    """
    calm = fresh(before, folder / "calm", prepare)
    writes.count, writes.last = 0, 10**9
    assert command(calm) == code
    total = writes.count
    assert total >= num_points, "fewer writes than points"
    for number in range(num_points):
        point = 1 + number * (total - 1) // (num_points - 1)
        copy = fresh(before, folder / f"at-{point}", prepare)
        writes.count, writes.last = 0, point
        with pytest.raises(KilledError):
            command(copy)
        writes.last = 10**9
        assert kept <= readable_movies(copy / "out"), point
        # The lease of a dead process does not count, but this process is still alive.
        shutil.rmtree(copy / "out" / "run.lock", ignore_errors=True)
        assert command(copy) == code, point
        assert readable_movies(copy / "out") == readable_movies(calm / "out"), point
        assert validate(str(copy / "out")).ok, point
        shutil.rmtree(copy)


def fresh(before: Path, folder: Path, prepare: Callable[[Path], None]) -> Path:
    shutil.copytree(before, folder)
    prepare(folder / "films")
    return folder


def readable_movies(out: Path) -> set[str]:
    """Movies that the index lists as done and whose clips can all be read."""
    dataset = open_dataset(str(out))
    done = [row["movie_id"] for row in dataset.movies.to_pylist() if row["status"] == "done"]
    rows = clip_rows(dataset.clips)
    assert rows
    for row in rows:
        assert len(read_clips(dataset.storage, [row])) == 1
    return set(done) & {row.movie_id for row in rows}


@POINTS
def test_retry(num_points: int, before: Path, tmp_path: Path, writes: Writes) -> None:
    def repair(films: Path) -> None:
        make_film(films / "repaired.mp4", Film(seconds=4, width=96, height=64))

    kill_at_each_point(
        before,
        tmp_path,
        writes,
        repair,
        # The records name the sources by their paths, so the movies of `before` are retried.
        lambda folder: retry_films_of(before, folder),
        {"one", "two", "three"},
        1,
        num_points,
    )


def retry_films_of(before: Path, folder: Path) -> int:
    """`retry`, with the copied movies in place of the original ones."""
    original = before / "films" / "repaired.mp4"
    content = original.read_bytes()
    original.write_bytes((folder / "films" / "repaired.mp4").read_bytes())
    try:
        return main(["retry", str(folder / "out"), *QUICK])
    finally:
        original.write_bytes(content)


@pytest.mark.slow
def test_a_rerun_with_failures_and_changed_movies(
    before: Path, tmp_path: Path, writes: Writes
) -> None:
    def change(films: Path) -> None:
        make_film(films / "one.mp4", Film(seconds=7, width=96, height=64))
        (films / "new.mp4").write_bytes(b"not a movie either")
        (films / "gone.mp4").symlink_to(films / "nowhere.mp4")

    kill_at_each_point(
        before,
        tmp_path,
        writes,
        change,
        lambda folder: preprocess(folder / "films", folder / "out", *QUICK),
        {"one", "two", "three"},
        1,
    )


@pytest.mark.slow
def test_a_rerun_with_another_recipe(before: Path, tmp_path: Path, writes: Writes) -> None:
    kill_at_each_point(
        before,
        tmp_path,
        writes,
        lambda films: None,
        lambda folder: preprocess(folder / "films", folder / "out", *QUICK, "--fps", "8"),
        {"one", "two", "three"},
        1,
    )


@POINTS
def test_prune(num_points: int, before: Path, tmp_path: Path, writes: Writes) -> None:
    def remove(films: Path) -> None:
        (films / "two.mp4").unlink()
        (films / "broken.mp4").unlink()

    kill_at_each_point(
        before,
        tmp_path,
        writes,
        remove,
        lambda folder: main(["prune", str(folder / "out"), str(folder / "films"), "--yes"]),
        {"one", "three"},
        0,
        num_points,
    )


def test_a_source_with_a_transient_failure_keeps_its_clips(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut_off(films: Path) -> None:
        (films / "one.mp4").unlink()
        (films / "one.mp4").symlink_to(films / "nowhere.mp4")

    folder = fresh(before, tmp_path / "copy", cut_off)
    assert preprocess(folder / "films", folder / "out", *QUICK) == 1
    assert "source_unavailable" in capsys.readouterr().out
    assert readable_movies(folder / "out") == {"one", "two", "three"}
    (folder / "films" / "one.mp4").unlink()
    make_film(folder / "films" / "one.mp4", Film(seconds=8, width=96, height=64))
    assert preprocess(folder / "films", folder / "out", *QUICK) == 1
    assert readable_movies(folder / "out") == {"one", "two", "three"}
    assert validate(str(folder / "out")).ok


def test_retry_does_not_follow_a_link_out_of_the_corpus(tmp_path: Path, canary: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    make_film(films / "good.mp4", Film(seconds=4, width=96, height=64))
    (films / "link.mp4").symlink_to(canary)
    assert preprocess(films, out) == 1
    for arguments, statuses in (([], "quarantined"), (["--follow-links"], "done")):
        main(["retry", str(out), *QUICK, *arguments])
        rows = {row["movie_id"]: row for row in open_dataset(str(out)).movies.to_pylist()}
        assert rows["link"]["status"] == statuses
