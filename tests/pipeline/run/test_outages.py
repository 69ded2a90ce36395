"""A run waits for its store, gives up after a set time, and says so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.engine import retries
from pipeline.engine.jobs import Job, Unit
from pipeline.errors import SourceError, SourceOutageError
from pipeline.run.progress import Progress, Recorder
from pipeline.sources import Movie
from shards_spec.errors import OutageError, StorageError
from shards_spec.storage import Storage
from tests.conftest import set_aws
from tests.support.datasets.outcome import shard_digests
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess
from tests.support.stores.fault_proxy import FaultProxy


def test_progress_records_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"), create=True)
    recorder = Recorder(storage)
    progress = Progress("movies", 0.0, 0.0, "running", 1, 0)
    recorder.write_now(progress)
    assert recorder.num_failed == 0
    (tmp_path / "out" / "run.json").unlink()
    (tmp_path / "out" / "run.json").mkdir()
    recorder.write(progress)
    recorder.write_now(progress)
    recorder.close()
    assert recorder.num_failed >= 1


def unit() -> Unit:
    return Unit(
        "prepare",
        Job(Movie(movie_id="m", uri="s3://b/m.mp4", group="m", num_bytes=1), "f"),
        attempts=1,
    )


def test_attempts_during_an_outage_of_the_source_do_not_count() -> None:
    work, error = unit(), SourceOutageError("m: no answer")
    for now in (100.0, 110.0, 399.0):
        work.attempts = 1
        delay = work.outage_delay_seconds(error, now, 300.0)
        assert delay is not None
        assert 0 < delay <= 10
        assert work.attempts == 0
    work.attempts = 1
    assert work.outage_delay_seconds(error, 400.0, 300.0) is None
    assert work.attempts == 1
    # An attempt that fails for another reason ends the outage.
    assert work.outage_delay_seconds(SourceError("m: missing"), 401.0, 300.0) is None
    assert work.outage_delay_seconds(error, 402.0, 300.0) is not None


def test_an_outage_that_was_waited_for_is_not_waited_for_again() -> None:
    work = unit()
    assert retries.retry_delay_seconds(work, StorageError("x"), 4, 1.0) is not None
    assert retries.retry_delay_seconds(work, OutageError("x"), 4, 1.0) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_an_outage_of_five_seconds_changes_no_byte(
    tmp_path: Path, s3_bucket: str, s3_endpoint: str
) -> None:
    """Of the store that has both the movies and the dataset, while movies are processed."""
    for number in range(3):
        film = make_film(tmp_path / f"{number}.mp4", Film(seconds=6, width=96, height=64))
        Storage(f"{s3_bucket}/movies").put(film.name, film)
    calm, disturbed = Storage(f"{s3_bucket}/calm"), Storage(f"{s3_bucket}/disturbed")
    options = ["--workers", "1"]
    faults = ("500", "503", "reset")
    with (
        FaultProxy(s3_endpoint, rate=0.0, faults=faults, every_request=True) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        set_aws(patch, proxy.url)
        assert preprocess(f"{s3_bucket}/movies", calm.uri, *options) == 0

        def disturb() -> None:
            while not list(disturbed.list("commits")):
                if ended.wait(0.05):
                    return
            proxy.rate = 1.0
            ended.wait(5.0)
            proxy.rate = 0.0

        ended = threading.Event()
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            assert preprocess(f"{s3_bucket}/movies", disturbed.uri, *options) == 0
        finally:
            ended.set()
            thread.join()
        assert proxy.num_faults > 0
    assert shard_digests(disturbed) == shard_digests(calm)
