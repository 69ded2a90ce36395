"""A folder of synthetic movies: missing ones are made in parallel, the labels are written last.

DIR/corpus.json      the settings, written before the first movie
DIR/movie-000.mp4    ...
DIR/labels.csv       source,start_seconds,end_seconds,label; written when all movies exist
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.demo.config import DemoConfig
from pipeline.demo.drawing.draw import draw_frames
from pipeline.demo.encode import encode_movie
from pipeline.demo.scenario import DemoMovie, plan_movie, plan_movies
from pipeline.demo.sound.render import render_sound
from pipeline.demo.workers import make_in_processes
from pipeline.ffmpeg.binaries import ffmpeg_path
from shards_spec.errors import InputError

RECIPE_VERSION = 1
"""Increase it when the same settings no longer make the same movies."""
SETTINGS_NAME = "corpus.json"
LABELS_NAME = "labels.csv"


def make_demo_corpus(
    directory: Path,
    config: DemoConfig,
    *,
    on_movie: Callable[[str], None] | None = None,
    num_workers: int = 0,
) -> list[Path]:
    """Make the corpus in `directory` and return its movies in order.

    Existing movies with equal settings are kept, those with other settings are replaced.
    `on_movie` is called with each file name once the movie exists. `num_workers` 0 means one per
    core.
    """
    ffmpeg_path()  # a missing ffmpeg is one clear error here instead of one per worker
    movies = plan_movies(config)
    _prepare(directory, config, movies)
    missing = []
    for index, movie in enumerate(movies):
        if not (directory / movie.name).exists():
            missing.append(index)
        elif on_movie:
            on_movie(movie.name)
    missing.sort(key=lambda index: movies[index].num_frames, reverse=True)
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(missing))
    if num_workers == 1:
        for index in missing:
            name = make_movie(directory, config, index)
            if on_movie:
                on_movie(name)
    elif missing:
        for name in make_in_processes(partial(make_movie, directory, config), missing, num_workers):
            if on_movie:
                on_movie(name)
    _write(directory / LABELS_NAME, labels_csv(movies))
    return [directory / movie.name for movie in movies]


def make_movie(directory: Path, config: DemoConfig, index: int) -> str:
    """Make one movie of the corpus; returns its file name."""
    movie = plan_movie(config, index)
    encode_movie(
        directory / movie.name,
        draw_frames(movie, config.width, config.height),
        render_sound(movie, config.score_strength),
        fps=movie.fps,
        width=config.width,
        height=config.height,
    )
    return movie.name


def labels_csv(movies: list[DemoMovie]) -> str:
    """The ground truth: one row per shot, half-open intervals, sorted by file and time."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["source", "start_seconds", "end_seconds", "label"])
    for movie in sorted(movies, key=lambda movie: movie.name):
        for shot in movie.shots:
            start, stop = movie.seconds(shot.start_frame), movie.seconds(shot.stop_frame)
            rows.writerow([movie.name, f"{start:.6f}", f"{stop:.6f}", shot.label])
    return text.getvalue()


def _prepare(directory: Path, config: DemoConfig, movies: list[DemoMovie]) -> None:
    """Keep only movies of these settings in `directory`, and record the settings."""
    settings = {"recipe_version": RECIPE_VERSION, **dataclasses.asdict(config)}
    record = {"settings": settings, "movies": [movie.name for movie in movies]}
    path = directory / SETTINGS_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        old = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"demo corpus: cannot use {directory}: {error}") from error
    if _with_defaults(old) == record:
        return
    if not old:
        _refuse_foreign_files(directory, movies)
    for name in [LABELS_NAME, *old.get("movies", [])]:
        (directory / Path(name).name).unlink(missing_ok=True)
    _write(path, json.dumps(record, indent=2) + "\n")


def _with_defaults(old: dict[str, Any]) -> dict[str, Any]:
    """A record in which settings that were added later have their default."""
    if not isinstance(old.get("settings"), dict):
        return old
    return {**old, "settings": {**dataclasses.asdict(DemoConfig()), **old["settings"]}}


def _refuse_foreign_files(directory: Path, movies: list[DemoMovie]) -> None:
    for name in [LABELS_NAME, *(movie.name for movie in movies)]:
        if (directory / name).exists():
            raise InputError(
                f"demo corpus: {directory / name} exists, but no {SETTINGS_NAME} that lists it, so "
                "it is not a file of this command; choose another folder"
            )


def _write(path: Path, text: str) -> None:
    """Write a small text file atomically, unless it has this content already."""
    if path.exists() and path.read_text() == text:
        return
    scratch = path.with_name(f".{path.name}.tmp")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
