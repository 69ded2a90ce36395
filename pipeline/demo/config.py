"""Settings of the demo corpus. All of them affect the movies, so all are saved in `corpus.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.demo.classes import CLASSES
from shards_spec.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the synthetic movies are like. The defaults take about a minute on two cores."""

    num_movies: int = 12
    """Movies to make, at least 1. Movie i is the same whatever this number is."""
    min_seconds: float = 60.0
    """Shortest movie, seconds."""
    max_seconds: float = 180.0
    """Longest movie, seconds; lengths are uniform between the two."""
    seed: int = 0
    """All randomness follows from it: the same seed and settings give the same bytes."""
    num_classes: int = len(CLASSES)
    """Semantic classes shared by all movies: the first ones of the catalog."""
    classes_per_movie: int = 8
    """Cast of one movie: the classes that come back in it. Short movies have a smaller cast, so
    that each member can appear twice."""
    appearances: Literal["many", "one"] = "many"
    """How often a class of the cast appears in a movie. `many`: in every round of the cast, so that
    it returns after a while; `one`: in consecutive shots, and never again."""
    mean_shot_seconds: float = 6.0
    """Mean time between two cuts, seconds."""
    look_strength: float = 0.9
    """Share of a shot's palette and grade that comes from the movie, [0, 1]. 0: every shot has its
    own look, and color says nothing about the movie; 1: all shots of a movie look alike."""
    score_strength: float = 0.8
    """Share of the music that is the movie's theme, [0, 1]. 0: every shot has its own music at
    the same level; 1: one theme plays through the whole movie."""
    sets: Literal["class", "movie"] = "class"
    """What decides the background pattern. `class`: it is one more cue to what is shown; `movie`:
    one more cue to which movie it is, as the sets of a movie are."""
    music_gain_db: float = 0.0
    """Added to the random level of the music, dB, -60 to 30; voices keep theirs."""
    room_gain_db: float = 0.0
    """Added to the random level of the room tone, dB, -60 to 30."""
    width: int = 320
    """Frame width in pixels, even, 64 to 1920."""
    height: int = 180
    """Frame height in pixels, even, 64 to 1080."""

    def __post_init__(self) -> None:
        self._at_least("num_movies", self.num_movies, 1)
        self._at_least("seed", self.seed, 0)
        self._within("num_classes", self.num_classes, 2, len(CLASSES))
        self._within("classes_per_movie", self.classes_per_movie, 1, self.num_classes)
        self._within("min_seconds", self.min_seconds, 1.0, 36_000.0)
        self._within("max_seconds", self.max_seconds, self.min_seconds, 36_000.0)
        self._within("mean_shot_seconds", self.mean_shot_seconds, 0.5, 600.0)
        self._within("look_strength", self.look_strength, 0.0, 1.0)
        self._within("score_strength", self.score_strength, 0.0, 1.0)
        self._within("music_gain_db", self.music_gain_db, -60.0, 30.0)
        self._within("room_gain_db", self.room_gain_db, -60.0, 30.0)
        self._one_of("sets", self.sets, "class", "movie")
        self._one_of("appearances", self.appearances, "many", "one")
        self._within("width", self.width, 64, 1920)
        self._within("height", self.height, 64, 1080)
        for name, value in (("width", self.width), ("height", self.height)):
            if value % 2:
                raise InputError(
                    f"demo corpus: {name} is {value}; H.264 4:2:0 needs an even number"
                )

    def _one_of(self, name: str, value: str, first: str, second: str) -> None:
        if value not in (first, second):
            raise InputError(f"demo corpus: {name} is {value!r}; it must be {first} or {second}")

    def _at_least(self, name: str, value: int, low: int) -> None:
        if value < low:
            raise InputError(f"demo corpus: {name} is {value}; it must be at least {low}")

    def _within(self, name: str, value: float, low: float, high: float) -> None:
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"demo corpus: {name} is {value}; it must be in [{low}, {high}]")
