"""The audio of a movie: voices on the beat, music below them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from pipeline.demo.classes import BLACK_LABEL, CLASSES
from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.scenario import DemoMovie, Shot, event_seconds
from pipeline.demo.sound.score import play_score
from pipeline.demo.sound.tones import SAMPLE_RATE_HZ, level, num_samples, swell
from pipeline.demo.sound.voices import sing

ECHO_SECONDS = 0.13
"""Delay between the notes of several figures, and between their moves."""
ECHO_GAINS = (1.0, 0.8, 0.7)
CUT_FADE_SECONDS = 0.02
PITCH_PER_SIZE = 1.3
"""Exponent: a figure twice as large sounds 1.3 octaves lower."""
_PITCHES_HZ = {semantic.name: semantic.pitch_hz for semantic in CLASSES}


def render_sound(movie: DemoMovie, score_strength: float) -> FloatArray:
    """The whole track, mono float32 at `SAMPLE_RATE_HZ`, with the movie's peak level."""
    count = round(Fraction(movie.num_frames * SAMPLE_RATE_HZ) / movie.fps)
    track = np.float32(math.sqrt(score_strength)) * play_score(movie.theme, count)
    for shot in movie.shots:
        start, stop = _samples(shot, movie.fps, count)
        part = track[start:stop]
        if not shot.audible:
            part[:] = 0
            continue
        if score_strength < 1:
            fade = swell(len(part), CUT_FADE_SECONDS, CUT_FADE_SECONDS)
            cue_gain = np.float32(math.sqrt(1 - score_strength))
            part += cue_gain * fade * play_score(shot.cue, len(part))
        if shot.label != BLACK_LABEL:
            part += render_voice(shot, movie.fps, len(part))
    return np.float32(level(movie.peak_dbfs) / max(float(np.abs(track).max()), 1e-9)) * track


def render_voice(shot: Shot, fps: Fraction, count: int) -> FloatArray:
    """The shot's figures alone, `count` samples from the shot's start; cut at its end."""
    voice = np.zeros(count, np.float32)
    pitch_hz = _PITCHES_HZ[shot.label] / shot.size**PITCH_PER_SIZE
    first_beat = math.ceil(shot.first_beat)
    for place, seconds in enumerate(event_seconds(shot, fps)):
        note = sing(shot.label, pitch_hz, first_beat + place, 1 / shot.beats_per_second)
        for echo in range(shot.num_figures):
            since = seconds - float(shot.start_frame / fps) + echo * ECHO_SECONDS
            into = voice[round(since * SAMPLE_RATE_HZ) :][: len(note)]
            into += np.float32(ECHO_GAINS[echo]) * note[: len(into)]
    return voice * swell(count, 1 / SAMPLE_RATE_HZ, CUT_FADE_SECONDS)


def _samples(shot: Shot, fps: Fraction, count: int) -> tuple[int, int]:
    start = num_samples(float(shot.start_frame / fps)) if shot.start_frame else 0
    return start, min(count, num_samples(float(shot.stop_frame / fps)))
