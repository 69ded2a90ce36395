"""Seed -> movies -> shots: what happens when, and how it looks and sounds. Pure, no I/O.

    movie   |black |ball     |ghost    |robot  |ball    |ghost  |robot    |ball (silent)|
    frame   0      96        ...                                                  num_frames

Shots tile `[0, num_frames)` without gaps or overlaps. Movie i depends only on the settings and i.
Where movies come in kinds (black bars, frame rate), every block of four has each kind once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from pipeline.demo.classes import BLACK_LABEL, CLASSES
from pipeline.demo.config import DemoConfig
from pipeline.demo.drawing.look import Look, blend_look, draw_look
from pipeline.demo.sound.score import Score, draw_score

FRAME_RATES = (Fraction(24), Fraction(25), Fraction(30), Fraction(24000, 1001))
OPENING_BLACK_SECONDS = 4.0
SILENT_END_SECONDS = 7.0
LEAST_SECONDS_FOR_EXTRAS = 30.0
"""Shorter movies have neither a black opening nor a silent ending."""
MOST_FIGURES = 3
LETTERBOX_ASPECT = 2.35
PILLARBOX_ASPECT = 4 / 3
GOLDEN_TURN = 0.618034
"""Distance between the hues of consecutive movies, so that few movies resemble each other."""

Extra = Literal["letterbox", "black_opening", "silent_end", "plain"]
EXTRAS: tuple[Extra, ...] = ("letterbox", "black_opening", "silent_end", "plain")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What lies between two cuts: one class at its place, with properties of its own."""

    start_frame: int
    """First frame, inclusive."""
    stop_frame: int
    """One past the last frame."""
    label: str
    """Name of the class, or `BLACK_LABEL`."""
    audible: bool
    """False: silence, not even music."""
    size: float
    """Size of the figures relative to the class's, about [0.75, 1.3]; larger ones sound lower."""
    beats_per_second: float
    """Events per second of the motion and of the voice, Hz."""
    first_beat: float
    """Beat number at the shot's start, in beats; an event falls on every whole beat."""
    num_figures: int
    """Figures, 1 to 3; every event has one note per figure."""
    look: Look
    """Palette and grade: a mix of the movie's and the shot's own by `look_strength`."""
    place: str
    """Name of the class whose pattern is the background."""
    cue: Score
    """The shot's own music, which `score_strength` mixes with the movie's theme."""
    seed: int
    """For texture details."""


@dataclass(frozen=True, kw_only=True)
class DemoMovie:
    """One synthetic movie in every detail."""

    name: str
    """File name."""
    fps: Fraction
    """Frames per second."""
    num_frames: int
    """Length in frames."""
    active_width: int
    """Width inside the black bars, pixels, even; that of the frame without pillarbox."""
    active_height: int
    """Height inside the black bars, pixels, even; that of the frame without letterbox."""
    theme: Score
    """The theme music."""
    peak_dbfs: float
    """Peak of the audio before encoding, dBFS."""
    shots: tuple[Shot, ...]
    """In order of time, tiling `[0, num_frames)`."""

    def seconds(self, frame: int) -> float:
        """Presentation time of a frame, in seconds."""
        return float(frame / self.fps)


def plan_movies(config: DemoConfig) -> list[DemoMovie]:
    """All movies of the corpus."""
    return [plan_movie(config, index) for index in range(config.num_movies)]


def plan_movie(config: DemoConfig, index: int) -> DemoMovie:
    """Movie `index` of the corpus, a function of the settings and the index."""
    rng = _rng(config, index, 0)
    fps = FRAME_RATES[_kind_in_block(config, index, 1)]
    extra = EXTRAS[_kind_in_block(config, index, 2)]
    num_frames = round(rng.uniform(config.min_seconds, config.max_seconds) * fps)
    first_hue = _rng(config, 0, 3).uniform()
    width, height = _active_size(config, extra, index)
    return DemoMovie(
        name=f"movie-{index:03d}.mp4",
        fps=fps,
        num_frames=num_frames,
        active_width=width,
        active_height=height,
        theme=_mix(config, draw_score(rng)),
        peak_dbfs=float(rng.uniform(-8.0, -3.0)),
        shots=_plan_shots(
            config,
            rng,
            num_frames,
            fps,
            extra,
            draw_look(rng, first_hue + index * GOLDEN_TURN),
            # A generator of its own, so that the setting `sets` changes nothing else.
            CLASSES[_rng(config, index, 4).integers(config.num_classes)].name,
        ),
    )


def event_seconds(shot: Shot, fps: Fraction) -> list[float]:
    """Times of the shot's events, in seconds from the start of the movie.

    Every whole beat is an event: the figure lands, turns or swells, and its voice sounds.
    """
    start, stop = float(shot.start_frame / fps), float(shot.stop_frame / fps)
    first = np.ceil(shot.first_beat)
    times = start + (first + np.arange(10_000) - shot.first_beat) / shot.beats_per_second
    return [float(time) for time in times[times < stop]]


def _rng(config: DemoConfig, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, index, stream])


def _kind_in_block(config: DemoConfig, index: int, stream: int) -> int:
    block, place = divmod(index, 4)
    return int(_rng(config, block, stream).permutation(4)[place])


def _active_size(config: DemoConfig, extra: Extra, index: int) -> tuple[int, int]:
    if extra == "letterbox":
        return config.width, min(config.height, _even(config.width / LETTERBOX_ASPECT))
    if extra == "plain" and index < 4:  # one pillarboxed movie in a corpus
        return min(config.width, _even(config.height * PILLARBOX_ASPECT)), config.height
    return config.width, config.height


def _even(value: float) -> int:
    return 2 * round(value / 2)


def _plan_shots(
    config: DemoConfig,
    rng: np.random.Generator,
    num_frames: int,
    fps: Fraction,
    extra: Extra,
    movie_look: Look,
    movie_place: str,
) -> tuple[Shot, ...]:
    total = float(num_frames / fps)
    long_enough = total >= LEAST_SECONDS_FOR_EXTRAS
    opening = OPENING_BLACK_SECONDS if long_enough and extra == "black_opening" else 0.0
    ending = SILENT_END_SECONDS if long_enough and extra == "silent_end" else 0.0
    story = _shot_lengths(rng, total - opening - ending, config.mean_shot_seconds)
    lengths = np.array([opening, *story, ending])
    lengths = lengths[lengths > 0]
    stops = np.round(np.cumsum(lengths) / total * num_frames).astype(int)
    starts = np.concatenate([[0], stops[:-1]])
    cast = _draw_cast(config, rng, len(story))
    in_order = _in_rounds if config.appearances == "many" else _one_by_one
    order = in_order(rng, cast, len(lengths))
    return tuple(
        _draw_shot(
            rng,
            frames=(int(start), int(stop)),
            class_index=order[number],
            black=opening > 0 and number == 0,
            audible=not (ending > 0 and number == len(lengths) - 1),
            movie_look=movie_look,
            movie_place=movie_place,
            config=config,
        )
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    )


def _shot_lengths(rng: np.random.Generator, seconds: float, mean_seconds: float) -> list[float]:
    """Lengths that sum to `seconds`, each about 0.65 to 1.5 times the mean."""
    weights = rng.uniform(0.65, 1.5, size=max(1, round(seconds / mean_seconds)))
    return [float(weight) for weight in weights / weights.sum() * seconds]


def _draw_cast(config: DemoConfig, rng: np.random.Generator, num_shots: int) -> list[int]:
    size = max(1, min(config.classes_per_movie, num_shots // 2))
    return [int(choice) for choice in rng.permutation(config.num_classes)[:size]]


def _one_by_one(rng: np.random.Generator, cast: list[int], num_shots: int) -> list[int]:
    """Every member once, for about equally many shots in a row."""
    line = [int(member) for member in rng.permutation(cast)]
    return [line[number * len(line) // num_shots] for number in range(num_shots)]


def _in_rounds(rng: np.random.Generator, cast: list[int], num_shots: int) -> list[int]:
    """Rounds in which every member appears once; neighboring shots have different members."""
    order: list[int] = []
    while len(order) < num_shots:
        lap = [int(member) for member in rng.permutation(cast)]
        if order and lap[0] == order[-1]:
            lap = lap[1:] + lap[:1]
        order += lap
    return order[:num_shots]


def _mix(config: DemoConfig, score: Score) -> Score:
    """The score with the gains of the settings."""
    return dataclasses.replace(
        score,
        music_dbfs=score.music_dbfs + config.music_gain_db,
        room_dbfs=score.room_dbfs + config.room_gain_db,
    )


def _draw_shot(
    rng: np.random.Generator,
    *,
    frames: tuple[int, int],
    class_index: int,
    black: bool,
    audible: bool,
    movie_look: Look,
    movie_place: str,
    config: DemoConfig,
) -> Shot:
    semantic = CLASSES[class_index]
    return Shot(
        start_frame=frames[0],
        stop_frame=frames[1],
        label=BLACK_LABEL if black else semantic.name,
        audible=audible,
        size=float(0.75 * 1.75 ** rng.uniform()),
        beats_per_second=semantic.beats_per_second * float(2.0 ** rng.uniform(-0.4, 0.4)),
        first_beat=float(rng.uniform(0.0, 4.0)),
        num_figures=int(rng.integers(1, MOST_FIGURES + 1)),
        look=blend_look(movie_look, draw_look(rng, rng.uniform()), config.look_strength),
        place=semantic.name if config.sets == "class" else movie_place,
        cue=_mix(config, draw_score(rng)),
        seed=int(rng.integers(2**31)),
    )
