"""A folder of movies with their labels; what exists already is kept.

DIR/freedoom.json         the settings, written before the first movie
DIR/freedoom1-e1m1.mp4    ...
DIR/.labels/              labels of each movie, so that a stopped command resumes
DIR/seen.csv              source,start_seconds,end_seconds,label; of all movies
DIR/heard.csv
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.demo.freedoom.config import TIC_RATE_HZ, FreedoomConfig
from pipeline.demo.freedoom.maps import all_maps, require
from pipeline.demo.freedoom.recording import record
from pipeline.demo.freedoom.truth import Stretch
from pipeline.demo.workers import make_in_processes
from pipeline.ffmpeg.binaries import ffmpeg_path
from shards_spec.errors import InputError

RECIPE_VERSION = 2
"""Increase it when the same settings no longer make the same movies."""
SETTINGS_NAME = "freedoom.json"
TABLES = ("seen", "heard")
_HEAD = "source,start_seconds,end_seconds,label\n"


def make_freedoom(
    directory: Path,
    config: FreedoomConfig,
    *,
    on_movie: Callable[[str], None] | None = None,
    num_workers: int = 0,
) -> list[Path]:
    """Make the movies in `directory` and return them in order.

    Existing ones of the same settings are kept; a folder with others is refused. `on_movie` is
    called with each file name once the movie exists. `num_workers` 0 means one per core.
    """
    ffmpeg_path()
    for package in ("vizdoom", "midirenderer", "pretty_midi"):
        require(package)
    _prepare(directory, config)
    maps = all_maps()[: config.movies]
    missing = [i for i, one in enumerate(maps) if not _is_complete(directory, one.movie)]
    for index in sorted(set(range(len(maps))) - set(missing)):
        if on_movie:
            on_movie(maps[index].movie)
    workers = min(num_workers or len(os.sched_getaffinity(0)), max(1, len(missing)))
    if workers == 1:
        for index in missing:
            make_one(directory, config, index)
            if on_movie:
                on_movie(maps[index].movie)
    else:
        for name in make_in_processes(partial(make_one, directory, config), missing, workers):
            if on_movie:
                on_movie(name)
    for table in TABLES:
        rows = [_labels_path(directory, one.movie, table).read_text() for one in maps]
        _write(directory / f"{table}.csv", _HEAD + "".join(rows))
    return [directory / one.movie for one in maps]


def make_one(directory: Path, config: FreedoomConfig, index: int) -> str:
    """Make one movie and its labels; returns its file name."""
    game_map = all_maps()[index]
    session = record(directory / game_map.movie, game_map, config)
    for table, stretches in zip(TABLES, (session.seen, session.heard), strict=True):
        text = "".join(_row(game_map.movie, one) for one in stretches)
        _write(_labels_path(directory, game_map.movie, table), text)
    return game_map.movie


def _row(movie: str, stretch: Stretch) -> str:
    start, stop = stretch.start / TIC_RATE_HZ, stretch.stop / TIC_RATE_HZ
    return f"{movie},{start:.6f},{stop:.6f},{stretch.label}\n"


def _labels_path(directory: Path, movie: str, table: str) -> Path:
    return directory / ".labels" / f"{movie}.{table}.csv"


def _is_complete(directory: Path, movie: str) -> bool:
    tables = (_labels_path(directory, movie, table) for table in TABLES)
    return (directory / movie).exists() and all(table.exists() for table in tables)


def _prepare(directory: Path, config: FreedoomConfig) -> None:
    # The number of movies changes none of them.
    settings = {"recipe_version": RECIPE_VERSION, **dataclasses.asdict(config)}
    del settings["movies"]
    path = directory / SETTINGS_NAME
    try:
        (directory / ".labels").mkdir(parents=True, exist_ok=True)
        old = json.loads(path.read_text()) if path.exists() else settings
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"freedoom: cannot use {directory}: {error}") from error
    if old != settings:
        raise InputError(
            f"freedoom: {directory} contains movies of other settings ({SETTINGS_NAME}); choose "
            "another folder, or delete it"
        )
    _write(path, json.dumps(settings, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8", newline="")
    os.replace(scratch, path)
