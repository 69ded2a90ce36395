"""Untrusted datasets: `validate` ends with a list of errors, opening one with a single error.

One process opens all of them, within limits on memory and time.
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from shards_spec import layout
from shards_spec.dataset.reader import Dataset
from shards_spec.schema.tables import CLIPS_SCHEMA, MOVIES_SCHEMA
from tests.support.datasets.flawed import edit_row, put_table, recommit, replace_members

#: Memory of the process, and time per dataset of a few kilobytes.
MAX_MEMORY_BYTES, SECONDS = 1_500_000_000, 60

#: Prints the outcome of three ways to open each dataset, and the process's memory so far.
OPEN_ALL = """
import contextlib, io, json, signal, sys
from shards_spec.__main__ import main
from shards_spec.errors import ReelshardsError
from shards_spec.process import peak_rss_bytes
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.schema import clip_rows

def opened(uri):
    try:
        data = open_dataset(uri)
        for row in clip_rows(data.clips):
            read_clips(data.storage, [row])
    except ReelshardsError as error:
        return str(error)
    return ""

for uri in sys.argv[1:]:
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        codes = [main(["validate", uri]), main(["inspect", uri])]
    error = opened(uri)
    memory = peak_rss_bytes()
    print(json.dumps([codes, error, memory, out.getvalue()]), flush=True)
""".replace("SECONDS", str(SECONDS))

Damage = Callable[[Dataset], object]


def put_info(**changes: object) -> Damage:
    """`dataset.json` with other values; `recipe__x` is setting `x` of the recipe."""

    def edit(data: Dataset) -> None:
        info = json.loads(data.storage.get(layout.DATASET_JSON))
        for name, value in changes.items():
            target = info["recipe"] if name.startswith("recipe__") else info
            target[name.removeprefix("recipe__")] = value
        data.storage.put(layout.DATASET_JSON, json.dumps(info).encode())

    return edit


def put_bytes(key: str, value: bytes) -> Damage:
    return lambda data: data.storage.put(key, value)


def put_pipe(key: str) -> Damage:
    """A named pipe instead of an object: opening it blocks forever."""

    def edit(data: Dataset) -> None:
        path = data.storage.local_path(key)
        path.unlink()
        os.mkfifo(path)

    return edit


def put_device(key: str) -> Damage:
    """A link to an endless device."""

    def edit(data: Dataset) -> None:
        path = data.storage.local_path(key)
        path.unlink()
        path.symlink_to("/dev/zero")

    return edit


def put_column(key: str, name: str, values: Callable[[list], list]) -> Damage:
    """Other values for one column of a table, of the column's type."""

    def edit(data: Dataset) -> None:
        table = pq.read_table(io.BytesIO(data.storage.get(key)))
        number = table.schema.get_field_index(name)
        field = table.schema.field(number)
        column = pa.array(values(table[name].to_pylist()), field.type)
        put_table(data, key, table.set_column(number, field.with_nullable(True), column))

    return edit


def put_twice(key: str, name: str) -> Damage:
    def edit(data: Dataset) -> None:
        table = pq.read_table(io.BytesIO(data.storage.get(key)))
        put_table(data, key, table.append_column(table.schema.field(name), table[name]))

    return edit


def put_rows(key: str, schema: pa.Schema, num_rows: int, text: str, times: int = 1) -> Damage:
    """A small file of very many equal rows, with `num_rows` as their number."""

    def edit(data: Dataset) -> None:
        def column(item: pa.Field) -> pa.Array:
            if pa.types.is_string(item.type):
                codes = pa.array(np.zeros(num_rows, np.int8))
                return pa.DictionaryArray.from_arrays(codes, [text])
            return pa.array(np.ones(num_rows, np.int8)).cast(item.type)

        table = pa.table([column(item) for item in schema], names=schema.names)
        sink = io.BytesIO()
        with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as file:
            for _ in range(times):
                file.write_table(table)
        data.storage.put(key, sink.getvalue())

    return edit


def image_bomb(data: Dataset) -> None:
    """A film strip of a few hundred kilobytes that decodes to gigabytes."""
    flat = simplejpeg.encode_jpeg(np.zeros((16, 65_488, 3), np.uint8), 1, "RGB", "420")
    height = flat.index((16).to_bytes(2, "big"), flat.index(b"\xff\xc0"))
    strip = flat[:height] + (65_488).to_bytes(2, "big") + flat[height + 2 :]
    replace_members(data, frames_jpg=strip)


CLIPS, MOVIES = layout.CLIPS_PARQUET, layout.MOVIES_PARQUET
SHARD = layout.shard_key("movie-001", 0)

DAMAGES: dict[str, Damage] = {
    "nested JSON": put_bytes(layout.DATASET_JSON, b"[" * 200_000),
    "nested recipe": put_bytes(layout.DATASET_JSON, b'{"recipe": ' * 50_000),
    "infinite setting": put_info(recipe__fps=math.inf),
    "number too large for a float": put_info(recipe__fps=10**400),
    "huge integer setting": put_info(recipe__sample_rate_hz=10**300),
    "hop below a sample": put_info(recipe__hop_ms=0.01),
    "tiny rate": put_info(recipe__fps=1e-300),
    "recipe of texts": put_info(recipe={"num_frames": "many"}),
    "totals of texts": put_info(totals={"clips": "many", "movies": None}),
    "version of another kind": put_info(spec_version=[1, 0]),
    "pipe as dataset.json": put_pipe(layout.DATASET_JSON),
    "pipe as table": put_pipe(CLIPS),
    "pipe as shard": put_pipe(SHARD),
    "pipe as commit record": put_pipe(layout.commit_key("movie-001")),
    "endless shard": put_device(SHARD),
    "endless table": put_device(MOVIES),
    "endless dataset.json": put_device(layout.DATASET_JSON),
    "range of exabytes": lambda data: recommit(data, edit_row(3, tar_bytes=2**62)),
    "range of terabytes": lambda data: recommit(data, edit_row(3, tar_bytes=2**40)),
    "frames of gigapixels": lambda data: recommit(data, edit_row(3, height=2**31 - 16)),
    "offset before the shard": lambda data: recommit(data, edit_row(3, tar_offset=-1_000_000)),
    "nulls": put_column(CLIPS, "clip_number", lambda values: [None, *values[1:]]),
    "null movies": put_column(MOVIES, "status", lambda values: [None, *values[1:]]),
    "duplicate column": put_twice(CLIPS, "start_ns"),
    "duplicate column of movies": put_twice(MOVIES, "status"),
    "path out of the dataset": put_column(
        CLIPS, "shard", lambda values: ["../../../etc/passwd", *values[1:]]
    ),
    "clip id that is a path": put_column(
        CLIPS, "clip_id", lambda values: ["../../outside", *values[1:]]
    ),
    "movie id that is a path": put_column(
        MOVIES, "movie_id", lambda values: ["../movie", *values[1:]]
    ),
    "negative counts": put_column(MOVIES, "num_clips", lambda values: [-5, *values[1:]]),
    "very many clips": put_rows(CLIPS, CLIPS_SCHEMA, 500_000, "x", 40),
    "very long texts": put_rows(CLIPS, CLIPS_SCHEMA, 15_000, "x" * 1_000_000),
    "very many movies": put_rows(MOVIES, MOVIES_SCHEMA, 500_000, "x", 40),
    "image bomb": image_bomb,
}


#: Checked only by `validate`: readers need neither totals nor commit records.
READABLE = {"totals of texts", "pipe as commit record"}


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the ways to open a dataset."""

    codes: list[int]
    """Exit codes of `validate` and `inspect`."""
    error: str
    """Of `open_dataset` and of reading all clips; empty if there was none."""
    memory_bytes: int
    output: str


@pytest.fixture(scope="module")
def outcomes(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("hostile")
    uris = []
    for number, damage in enumerate(DAMAGES.values()):
        data = make_toy_dataset(str(folder / str(number)), num_movies=2, clips_per_movie=8)
        damage(data)
        uris.append(data.storage.uri)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL, *uris], capture_output=True, text=True, check=False
    )
    lines = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    found = dict(zip(DAMAGES, lines, strict=False))
    assert len(lines) == len(DAMAGES), f"after {list(found)[-1:]}: {done.stderr[-3000:]}"
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_a_hostile_dataset_is_rejected(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.codes[0] in (1, 2), outcome.output
    if name not in READABLE:
        assert outcome.error, "opening or reading it raises"
    assert "Traceback" not in outcome.output
    assert "\n" not in outcome.error


@pytest.mark.slow
def test_memory_is_bounded(outcomes: dict[str, Outcome]) -> None:
    memory = {name: outcome.memory_bytes for name, outcome in outcomes.items()}
    assert max(memory.values()) < MAX_MEMORY_BYTES, memory


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip id that is a path", "path out of the dataset"])
def test_inspect_rejects_paths(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].codes[1] == 2
