"""Failed reads are not mistaken for the end of a movie, nor slow stores for an idle ffmpeg."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.engine.failure_classes import CLASSES
from pipeline.errors import MovieError, SourceChangedError, SourceError, TimedOutError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.limits import Limits
from pipeline.movie import steps
from pipeline.sources import Movie
from pipeline.sources import read_ahead as blocks
from pipeline.sources.identity import fingerprint
from pipeline.sources.ranged import ranged_source
from shards_spec.storage.storage import Storage
from tests.support.films.oracle import decoded_audio
from tests.support.stores.fault_proxy import FaultProxy
from tests.support.stores.ranged import FRAMES_BYTES, RECIPE, read_all, web_movie

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


def test_a_failed_read_is_not_the_end_of_the_movie(
    ts_movie: Movie, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The detection of black bars would read the movie thirty times before it fails once.
    recipe = replace(RECIPE, crop_bars=False)
    with FaultProxy(s3_endpoint, rate=0.0, faults=("truncate",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        mark = fingerprint(ts_movie)
        with ranged_source(ts_movie, mark, Limits()) as source:
            plan = steps.prepare(ts_movie, source, recipe, 5.0)
            assert source.failure is None
        with ranged_source(ts_movie, mark, Limits()) as source:
            # The store serves only the first half of the movie.
            read = source.blocks.read
            half = ts_movie.num_bytes // 2

            def until_half(start: int, end: int) -> memoryview:
                proxy.rate = 1.0 if start >= half else 0.0
                return read(start, end)

            monkeypatch.setattr(source.blocks, "read", until_half)
            source.blocks._storage = source.blocks._storage.with_retries(0)
            with pytest.raises(SourceError, match=r"film\.ts"):
                read_all(source, ts_movie)
            with pytest.raises(SourceError):
                steps.run_segment(plan, plan.segments[-1], source)
            with pytest.raises(SourceError):
                decoded_audio(plan, source=source)
            with pytest.raises(SourceError):
                steps.prepare(ts_movie, source, recipe, 5.0)


def test_an_interrupted_read_resumes(
    ts_movie: Movie, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_endpoint, rate=0.3, seed=2, faults=("truncate",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as source:
            assert read_all(source, ts_movie) == FRAMES_BYTES
        assert proxy.num_faults > 5
        starts = [start % blocks.BLOCK_BYTES for _, start, _ in proxy.ranges]
        assert any(starts)


def test_a_movie_that_is_replaced_during_reading(
    ts_movie: Movie, s3_bucket: str, films: dict[str, Path]
) -> None:
    with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as source:
        source.blocks.read(0, 10)
        # The same number of bytes: only the ETag differs.
        other = bytearray(films["film.ts"].read_bytes())
        other[-100:] = bytes(100)
        Storage(s3_bucket).put("film.ts", other)
        with pytest.raises(SourceChangedError):
            read_all(source, ts_movie)
    with pytest.raises(SourceChangedError):
        ranged_source(ts_movie, fingerprint(ts_movie), Limits()).__enter__()


@pytest.mark.slow
def test_a_slow_store_is_not_an_idle_ffmpeg(films: dict[str, Path]) -> None:
    """Every block takes longer than ffmpeg may be idle; then an ffmpeg that really is idle."""
    limits = Limits(no_progress_seconds=1.0)
    with (
        web_movie(films["film.ts"], delay_seconds=1.3) as (movie, handler),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(blocks, "BLOCK_BYTES", 1 << 17)
        with ranged_source(movie, fingerprint(movie), limits) as source:
            assert read_all(source, movie) == FRAMES_BYTES
            assert source.waited_seconds > 1.3
        handler.delay_seconds = 0.0
        with ranged_source(movie, fingerprint(movie), limits) as source:
            # Real-time decoding without output.
            command = [ffmpeg_path(), "-re", *input_arguments(source), "-f", "null", "-"]
            with (
                FfmpegProcess(command, source, what="a") as run,
                pytest.raises(TimedOutError, match="no output"),
            ):
                run.read_some(1)


def test_a_store_that_serves_nothing_is_an_error(
    films: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_movie(films["film.ts"]) as (movie, handler):
        with ranged_source(movie, fingerprint(movie), Limits()) as source:
            handler.tag, handler.data = '"other"', b""
            source.blocks._storage = source.blocks._storage.with_retries(0)
            with pytest.raises(MovieError, match=r"film\.ts") as caught:
                read_all(source, movie)
        assert CLASSES[caught.value.error_class].retry == "as it is"
