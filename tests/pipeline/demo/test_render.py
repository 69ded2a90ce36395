"""Video and audio of one movie, before encoding."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from pipeline.demo import DemoConfig
from pipeline.demo.classes import CLASSES
from pipeline.demo.drawing.draw import draw_frames
from pipeline.demo.drawing.look import draw_look, palette, to_yuv
from pipeline.demo.scenario import DemoMovie, event_seconds, plan_movie
from pipeline.demo.sound.render import render_sound, render_voice
from pipeline.demo.sound.tones import SAMPLE_RATE_HZ

TINY = DemoConfig(min_seconds=4.0, max_seconds=4.0, mean_shot_seconds=1.0, width=160, height=90)


def _movie_of(label: str) -> DemoMovie:
    """Two seconds of a single figure, events at 0.5, 1.0 and 1.5 s, no grain."""
    movie = plan_movie(TINY, 0)
    shot = dataclasses.replace(
        movie.shots[0],
        start_frame=0,
        stop_frame=48,
        label=label,
        first_beat=0.001,
        beats_per_second=2.0,
        num_figures=1,
        look=dataclasses.replace(movie.shots[0].look, grain=0.0),
    )
    return dataclasses.replace(
        movie,
        fps=Fraction(24),
        num_frames=48,
        active_width=160,
        active_height=90,
        shots=(shot,),
    )


@pytest.mark.parametrize("index", range(4))
def test_audio_is_as_long_as_the_video_and_peaks_at_its_level(index: int) -> None:
    movie = plan_movie(TINY, index)
    sound = render_sound(movie, TINY.score_strength)
    assert abs(len(sound) / SAMPLE_RATE_HZ - movie.seconds(movie.num_frames)) < 1e-4
    assert 20 * np.log10(np.abs(sound).max()) == pytest.approx(movie.peak_dbfs, abs=0.01)
    assert movie.peak_dbfs <= -3


@pytest.mark.parametrize("label", [semantic.name for semantic in CLASSES])
def test_events_can_be_heard(label: str) -> None:
    movie = _movie_of(label)
    voice = render_voice(movie.shots[0], movie.fps, 2 * SAMPLE_RATE_HZ)
    assert event_seconds(movie.shots[0], movie.fps)[:3] == pytest.approx([0.4995, 0.9995, 1.4995])
    assert not voice[: int(0.49 * SAMPLE_RATE_HZ)].any()
    for event in (0.5, 1.0, 1.5):
        after = voice[int(event * SAMPLE_RATE_HZ) :][: SAMPLE_RATE_HZ // 5]
        assert np.sqrt(np.mean(after**2)) > 0.02


@pytest.mark.parametrize("label", [semantic.name for semantic in CLASSES])
def test_events_can_be_seen(label: str) -> None:
    """The figure flashes on the beat: its bright part is brightest just after each event."""
    movie = _movie_of(label)
    frames = np.stack([frame[: 160 * 90].copy() for frame in draw_frames(movie, 160, 90)])
    brightest = np.percentile(frames, 99, axis=1)
    for event_frame in (12, 24, 36):
        assert brightest[event_frame : event_frame + 2].max() > brightest[event_frame - 2] + 5


def test_bars_are_black_and_the_rest_is_not() -> None:
    movie = dataclasses.replace(plan_movie(TINY, 0), active_width=160, active_height=66)
    luma = next(draw_frames(movie, 160, 90))[: 160 * 90].reshape(90, 160)
    assert (luma[:12] == 16).all()
    assert (luma[78:] == 16).all()
    assert luma[12:78].mean() > 30


def test_black_shots_are_black_and_silent_shots_silent() -> None:
    movie = plan_movie(TINY, 0)
    first, *middle, last = movie.shots
    movie = dataclasses.replace(
        movie,
        shots=(
            dataclasses.replace(first, label="black"),
            *middle,
            dataclasses.replace(last, audible=False),
        ),
    )
    assert (next(draw_frames(movie, 160, 90))[: 160 * 90] == 16).all()
    sound = render_sound(movie, 0.5)
    silent_from = round(movie.seconds(last.start_frame) * SAMPLE_RATE_HZ)
    assert not sound[silent_from:].any()
    assert np.abs(sound[:silent_from]).max() > 0.1


def test_luma_leaves_room_for_grain() -> None:
    """Grain wraps around in uint8, so no color may be closer to 0 or 255 than its amplitude."""
    for seed in range(50):
        look = draw_look(np.random.default_rng(seed), seed / 50)
        for color in vars(palette(look)).values():
            luma = int(to_yuv(color)[0])
            assert luma * (1 - look.vignette) - 1 > 9
            assert luma <= 235
