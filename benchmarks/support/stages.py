"""Where the CPU time of one more movie goes, measured inside of a process that is warm.

    python -m benchmarks.support.stages MOVIE [fast]    prints CPU seconds by stage as JSON

The movie is processed twice by the steps that the Ray tasks run; the second time counts. Times are
those of the thread that does the work, and of the ffmpeg and ffprobe processes.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pipeline.audio.clips as audio_clips
import pipeline.movie.steps as steps
import pipeline.video.encoded_frames as encoded_frames
from benchmarks.support.stage_names import STAGES
from pipeline.config import RunConfig
from pipeline.ffmpeg import FfmpegProcess, reaper
from pipeline.ffmpeg.stderr import StderrReader
from pipeline.movie import write_movie
from pipeline.movie.rows import Cost
from pipeline.movie.spool import AUDIO_PART, open_spool
from pipeline.sources import Movie
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage


class StageClock:
    """Adds up CPU time by stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._local = threading.local()
        self._lock = threading.Lock()
        self.default = ""
        """Stage of work that is not inside of another one."""

    def add(self, stage: str, seconds: float) -> None:
        """Count CPU time."""
        with self._lock:
            self.seconds[stage] += seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count this thread's time for a stage, and not for the one around it."""
        stack = self._stack()
        began = time.thread_time()
        stack.append([name, 0.0])
        try:
            yield
        finally:
            spent = time.thread_time() - began
            _, inside = stack.pop()
            self.add(name, spent - inside)
            if stack:
                stack[-1][1] += spent

    def current(self) -> str:
        """The innermost stage of this thread."""
        stack = self._stack()
        return str(stack[-1][0]) if stack else self.default

    def wrapped(self, owner: Any, name: str, stage: str) -> None:
        """Count all calls of a function for a stage."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(stage):
                return function(*args, **options)

        setattr(owner, name, timed)

    def _stack(self) -> list[list[Any]]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[list[Any]] = self._local.stack
        return stack


def watch(clock: StageClock) -> None:
    """Count the work of the pipeline by stage."""
    clock.wrapped(steps, "with_shapes", "prepare: shapes of keyframes")
    clock.wrapped(steps, "find_crop", "prepare: black bars")
    clock.wrapped(encoded_frames.FrameComparer, "compare", "video: shots")
    clock.wrapped(encoded_frames, "luma_sums", "video: statistics")
    clock.wrapped(encoded_frames, "encode_strip", "video: JPEG")
    clock.wrapped(audio_clips, "log_mel", "audio: mel")
    start, wait, read = FfmpegProcess.__init__, FfmpegProcess._wait, StderrReader._read

    def started(process: FfmpegProcess, *args: Any, **options: Any) -> None:
        stage = clock.current()
        start(process, *args, **options)
        process.__dict__["stage"] = stage

    def waited(process: FfmpegProcess) -> None:
        has_ended = process.returncode is not None
        wait(process)
        if not has_ended:
            stage = process.__dict__["stage"]
            names = {"video: reading frames and lines": STAGES[3], STAGES[9]: STAGES[8]}
            clock.add(names.get(stage, stage), process.cpu_seconds)

    def read_lines(reader: StderrReader) -> None:
        with clock.stage(clock.default):
            read(reader)

    FfmpegProcess.__init__ = started  # type: ignore[method-assign]
    FfmpegProcess._wait = waited  # type: ignore[method-assign]
    StderrReader._read = read_lines  # type: ignore[method-assign]


def process_movie(clock: StageClock, movie: Movie, recipe: Recipe) -> None:
    """All steps of a movie, its shards in a folder that is deleted."""
    with (
        tempfile.TemporaryDirectory(prefix="reelshards-stages-") as out,
        open_source(movie, fingerprint(movie)) as source,
        reaper.own_folder() as folder,
        open_spool() as spool,
    ):
        storage = Storage(f"{out}/shards", create=True)
        clock.default = "prepare: listing and probes"
        with clock.stage(clock.default):
            plan = steps.prepare(movie, source, recipe, RunConfig().segment_seconds)
        segments, audio = [], []
        clock.default = "video: reading frames and lines"
        with clock.stage(clock.default):
            for segment in plan.segments:
                video, data = steps.run_segment(plan, segment, source)
                spool.add(video.number, [data])
                segments.append(video)
        clock.default = "audio: alignment and resampling"

        def parts() -> Iterator[Any]:
            audio.append((yield from steps.run_audio_parts(plan, source, segments)))

        with clock.stage(clock.default):
            spool.add(AUDIO_PART, parts())
        clock.default = "write"
        with clock.stage(clock.default):
            write_movie(plan, storage, Cost(1, 0.0, 0.0), audio[0], segments, spool, folder=folder)


def main() -> None:
    """Print the stages of a movie."""
    (movie,) = find_movies(sys.argv[1])
    recipe = Recipe(fast_decode=sys.argv[2:] == ["fast"])
    clock = StageClock()
    watch(clock)
    process_movie(clock, movie, recipe)
    clock.seconds.clear()
    before = os.times()
    process_movie(clock, movie, recipe)
    whole = sum(os.times()[:4]) - sum(before[:4])
    print(json.dumps({"stages": clock.seconds, "whole": whole}), flush=True)


if __name__ == "__main__":
    main()
