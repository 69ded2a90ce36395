"""Theme music and room tone: the part of the audio that identifies the movie and has no meaning.

A score is a loop of four chords: a soft pad, an arpeggio on top, and the hum of the room. It stays
below about 1.5 kHz, under the voices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.sound.tones import (
    SAMPLE_RATE_HZ,
    band_noise,
    level,
    num_samples,
    play_table,
    swell,
    wavetable,
)

BEATS_PER_CHORD = 4
PROGRESSIONS: tuple[tuple[int, int, int, int], ...] = (
    (0, 5, 3, 4),
    (0, 3, 4, 0),
    (0, 2, 5, 3),
    (0, 6, 5, 4),
    (0, 4, 5, 2),
)
"""Degrees of the scale on which the four chords are built."""
SCALES: tuple[tuple[int, ...], ...] = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 1, 3, 5, 7, 8, 10),
)
"""Semitones of major, minor, Dorian and Phrygian."""
ROOM_LOOP_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """Everything that decides a piece of music."""

    root_hz: float
    """Pitch of the key's root, Hz."""
    scale: tuple[int, ...]
    """Semitones of the seven degrees."""
    progression: tuple[int, int, int, int]
    """Degrees on which the chords are built."""
    tempo_hz: float
    """Beats per second."""
    brightness: float
    """Weight of each harmonic relative to the one below, [0.2, 0.75]."""
    hollow: bool
    """Odd harmonics only, like a clarinet."""
    arpeggio: tuple[int, ...]
    """Chord tone of each half beat, 0 to 3."""
    arpeggio_gain: float
    """Level of the arpeggio relative to the pad, [0.3, 1.5]."""
    music_dbfs: float
    """RMS of the music, dBFS."""
    room_hz: float
    """Center of the room tone's octave, Hz."""
    room_dbfs: float
    """RMS of the room tone, dBFS."""


def draw_score(rng: np.random.Generator) -> Score:
    """A random score."""
    return Score(
        root_hz=float(98.0 * 2 ** rng.uniform()),
        scale=SCALES[rng.integers(len(SCALES))],
        progression=PROGRESSIONS[rng.integers(len(PROGRESSIONS))],
        tempo_hz=float(rng.uniform(1.1, 2.2)),
        brightness=float(rng.uniform(0.2, 0.75)),
        hollow=bool(rng.integers(2)),
        arpeggio=tuple(int(tone) for tone in rng.integers(0, 4, size=8)),
        arpeggio_gain=float(rng.uniform(0.3, 1.5)),
        music_dbfs=float(rng.uniform(-30.0, -24.0)),
        room_hz=float(150.0 * 2 ** rng.uniform(0, 5)),
        room_dbfs=float(rng.uniform(-52.0, -40.0)),
    )


def play_score(score: Score, count: int) -> FloatArray:
    """The first `count` samples of the music with its room tone."""
    music = _loop(score, count)
    room = band_noise(
        num_samples(ROOM_LOOP_SECONDS), score.room_hz / 1.4, score.room_hz * 1.4, seed=0
    )
    return np.resize(music, count) + level(score.room_dbfs) * np.resize(room, count)


def _loop(score: Score, most: int) -> FloatArray:
    """The four chords once, or the first chords that cover `most` samples."""
    weights = np.float32(score.brightness) ** np.arange(7, dtype=np.float32)
    if score.hollow:
        weights[1::2] = 0
    table = wavetable(weights)
    chords: list[FloatArray] = []
    for degree in score.progression:
        chords.append(_play_chord(score, table, degree))
        if sum(map(len, chords)) >= most:
            break
    music = np.concatenate(chords)
    gain = level(score.music_dbfs) / float(np.sqrt(np.mean(music**2)))
    return (gain * music).astype(np.float32)


def _play_chord(score: Score, table: FloatArray, degree: int) -> FloatArray:
    tones = [_degree_hz(score, degree + step) for step in (0, 2, 4, 7)]
    count = num_samples(BEATS_PER_CHORD / score.tempo_hz)
    pad = np.zeros(count, np.float32)
    for hz in tones[:3]:
        pad += play_table(table, hz, count)
    pad *= swell(count, 0.25, 0.3) / 3
    half_beat = num_samples(0.5 / score.tempo_hz)
    decay = np.exp(-np.arange(half_beat, dtype=np.float32) / (0.18 * SAMPLE_RATE_HZ))
    envelope = decay * swell(half_beat, 0.005, 0.02)
    plucked = {
        tone: play_table(table, 2 * tones[tone], half_beat) * envelope
        for tone in set(score.arpeggio)
    }
    for step, tone in enumerate(score.arpeggio):
        into = pad[step * half_beat : (step + 1) * half_beat]
        into += np.float32(score.arpeggio_gain) * plucked[tone][: len(into)]
    return pad


def _degree_hz(score: Score, degree: int) -> float:
    octave, step = divmod(degree, 7)
    return float(score.root_hz * 2.0 ** (octave + score.scale[step] / 12))
