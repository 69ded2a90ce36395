"""Movies on web servers and in buckets, and the results of all steps for movies read by range."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.movie import steps
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.recipe import Recipe
from tests.support.films.oracle import decoded_audio

#: Size of all frames of one of these tests' movies, as `yuv420p`.
FRAMES_BYTES = 13 * 25 * 192 * 112 * 3 // 2
RECIPE = Recipe(short_side=32, num_frames=8, seed=3)


def steps_of(movie: Movie, seconds: float, *, by_range: bool) -> tuple[Any, ...]:
    """The results of all steps of a movie before it is written."""
    mark = fingerprint(movie)
    with open_source(movie, mark, by_range=by_range, stage_gib=1.0) as source:
        plan = steps.prepare(movie, source, RECIPE, seconds)
        segments = [steps.run_segment(plan, part, source) for part in plan.segments]
        sound, data = decoded_audio(plan, source=source)
    return (
        plan.probe,
        plan.crop,
        [hashlib.sha256(data.tobytes()).hexdigest() for _, data in segments],
        [(s.pts_ns.tolist(), s.cut_steps, s.change_sum.tolist()) for s, _ in segments],
        replace(sound, cpu_seconds=0.0),
        hashlib.sha256(data.tobytes()).hexdigest(),
    )


class WebHandler(http.server.BaseHTTPRequestHandler):
    """A web server for one movie, with range requests."""

    protocol_version = "HTTP/1.1"
    #: Otherwise the body of a response waits 40 ms for the client to acknowledge its header.
    disable_nagle_algorithm = True
    data = b""
    tag = 'W/"weak"'
    delay_seconds = 0.0
    num_bytes = 0

    def do_GET(self) -> None:
        kind = type(self)
        found = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(found[0]), min(int(found[2] or len(kind.data)) + 1, len(kind.data))
        if "Range" in self.headers:
            time.sleep(kind.delay_seconds)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(kind.data)}")
        self.send_header("ETag", kind.tag)
        self.send_header("Last-Modified", self.date_time_string(0))
        self.end_headers()
        if self.command == "GET":
            kind.num_bytes += end - start
            self.wfile.write(kind.data[start:end])

    do_HEAD = do_GET  # noqa: N815 - a name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def web_movie(path: Path, **settings: Any) -> Iterator[tuple[Movie, type[WebHandler]]]:
    """A movie on a web server."""
    handler: Any = type("Handler", (WebHandler,), {"data": path.read_bytes(), **settings})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (movie,) = find_movies(f"http://127.0.0.1:{server.server_port}/{path.name}")
        yield movie, handler
        server.shutdown()


def read_all(source: Readable, movie: Movie) -> int:
    """Read frames to the end and check for errors, as a step does; returns their size, bytes."""
    command = [ffmpeg_path(), *input_arguments(source), "-f", "rawvideo", "-"]
    num_bytes = 0
    with FfmpegProcess(command, source, what=movie.name) as run:
        while data := run.read_some(1 << 16):
            num_bytes += len(data)
        run.finish(tolerate_errors=True)
    return num_bytes
