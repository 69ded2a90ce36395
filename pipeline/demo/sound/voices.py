"""The voices: how one event of a class sounds.

A voice is a function from pitch (Hz) and the length of a beat (seconds) to the samples of one note.
Timbre and contour identify the class; pitch and rhythm vary by shot, and both are visible too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.sound.tones import (
    band_noise,
    clock,
    glide,
    num_samples,
    play_table,
    swell,
    wavetable,
)

LOUDEST_RMS = 0.16
"""RMS of the loudest 50 ms of every note: about -16 dBFS, 8 dB or more above the music."""
LOUDEST_PEAK = 0.6
LOUDNESS_WINDOW_SECONDS = 0.05


@dataclass(frozen=True)
class _Voice:
    note: Callable[[float, float], FloatArray]
    melody: tuple[int, ...] = (0,)
    """Semitones above the pitch on consecutive beats; repeats."""


def sing(label: str, pitch_hz: float, beat: int, beat_seconds: float) -> FloatArray:
    """The note of a class on a whole beat, at equal loudness for all classes."""
    voice = _VOICES[label]
    semitones = voice.melody[beat % len(voice.melody)]
    note = voice.note(pitch_hz * 2.0 ** (semitones / 12), beat_seconds)
    return _level_out(note)


def _level_out(note: FloatArray) -> FloatArray:
    window = min(len(note), num_samples(LOUDNESS_WINDOW_SECONDS))
    power = np.cumsum(np.concatenate([[0.0], note.astype(np.float64) ** 2]))
    loudest = np.sqrt(np.max(power[window:] - power[:-window]) / window)
    gain = min(LOUDEST_RMS / loudest, LOUDEST_PEAK / float(np.abs(note).max()))
    return np.asarray(gain * note, np.float32)


def _fade(note: FloatArray) -> FloatArray:
    """Without the clicks of a sudden start and end."""
    return note * swell(len(note), 0.004, 0.02)


def _partials(
    hz: float, seconds: float, partials: tuple[tuple[float, float, float], ...]
) -> FloatArray:
    """Decaying sines; each partial is (multiple of `hz`, weight, decay time in seconds)."""
    time = clock(seconds)
    note = np.zeros_like(time)
    for multiple, weight, decay in partials:
        tone = np.sin(np.float32(2 * np.pi * hz * multiple) * time)
        note += np.float32(weight) * tone * np.exp(-time / np.float32(decay))
    return _fade(note)


def _sequence(notes: list[FloatArray], gap_seconds: float) -> FloatArray:
    """Notes started one after another, `gap_seconds` apart."""
    gap = num_samples(gap_seconds)
    phrase = np.zeros(gap * (len(notes) - 1) + max(map(len, notes)), np.float32)
    for place, note in enumerate(notes):
        phrase[place * gap : place * gap + len(note)] += note
    return phrase


def _bell(hz: float, beat: float) -> FloatArray:
    return _partials(hz, 0.7, ((1, 1, 0.25), (2.76, 0.6, 0.15), (5.4, 0.35, 0.07)))


def _chime(hz: float, beat: float) -> FloatArray:
    steps = (1.0, 1.26, 1.5, 2.0)
    return _sequence([_partials(hz * step, 0.25, ((1, 1, 0.08),)) for step in steps], 0.1)


def _chug(hz: float, beat: float) -> FloatArray:
    seconds = 0.55 * beat
    count = num_samples(seconds)
    saw = play_table(wavetable(np.reciprocal(np.arange(1, 15, dtype=np.float32))), hz, count)
    steam = band_noise(count, 600, 2500, seed=1)
    return _fade((saw + 0.4 * steam) * (0.55 + 0.45 * np.sin(2 * np.pi * 16 * clock(seconds))))


def _chirp(hz: float, beat: float) -> FloatArray:
    time = clock(0.09)
    call = _fade(glide(np.float32(hz) * (1 + 0.8 * time / time[-1])))
    return _sequence([call, call, call], 0.12)


def _theremin(hz: float, beat: float) -> FloatArray:
    time = clock(0.95 * beat)
    bend = 1 + 0.5 * np.sin(np.pi * time / time[-1]) + 0.03 * np.sin(2 * np.pi * 6 * time)
    tone = glide(np.float32(hz) * bend)
    return _fade(tone + 0.3 * tone * np.abs(tone)) * swell(len(tone), 0.08, 0.12)


def _thump(hz: float, beat: float) -> FloatArray:
    time = clock(0.22)
    thump = np.tanh(4 * glide(np.float32(hz) * (1 + 1.5 * np.exp(-time / 0.03))))
    soft = _fade((thump * np.exp(-time / 0.07)).astype(np.float32))
    return _sequence([soft, 0.7 * soft], 0.3 * beat)


def _bubbles(hz: float, beat: float) -> FloatArray:
    time = clock(0.07)
    blips = [
        _fade(glide(np.float32(hz * pitch) * np.exp(1.1 * time / time[-1])))
        for pitch in (1.0, 1.5, 0.8, 1.9, 1.2)
    ]
    return _sequence(blips, 0.13 * min(beat, 1.2))


def _beeps(hz: float, beat: float) -> FloatArray:
    square = wavetable(np.array([1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7, 0, 1 / 9], np.float32))
    notes = [_fade(play_table(square, hz * step, num_samples(0.1))) for step in (1.0, 2.0)]
    return _sequence(notes, 0.12)


def _pluck(hz: float, beat: float) -> FloatArray:
    string = tuple((float(order), 1 / order, 0.35 / order) for order in range(1, 11))
    return _partials(hz, 0.6, string)


def _tick(hz: float, beat: float) -> FloatArray:
    knocks = [
        _partials(hz * step, 0.09, ((1, 1, 0.02), (1.6, 0.7, 0.012), (2.9, 0.4, 0.006)))
        for step in (1.0, 0.7)
    ]
    return _sequence(knocks, 0.5 * beat)


def _flute(hz: float, beat: float) -> FloatArray:
    time = clock(0.85 * beat)
    tone = glide(np.float32(hz) * (1 + 0.01 * np.sin(2 * np.pi * 5 * time)))
    breath = band_noise(len(time), 0.8 * hz, 6 * hz, seed=2)
    return (tone + 0.22 * breath) * swell(len(time), 0.09, 0.12)


def _storm(hz: float, beat: float) -> FloatArray:
    time = clock(0.85 * beat)
    hiss = band_noise(len(time), hz, 4 * hz, seed=3) * np.exp(-time / np.float32(0.15 * beat))
    rumble = band_noise(len(time), hz / 4, hz, seed=4) * np.exp(-time / np.float32(0.4 * beat))
    return _fade(hiss + rumble)


_VOICES: dict[str, _Voice] = {
    "ball": _Voice(_bell, (0, 4, 7, 4)),
    "star": _Voice(_chime, (0, 5)),
    "engine": _Voice(_chug),
    "bird": _Voice(_chirp, (0, 0, 3)),
    "ghost": _Voice(_theremin, (0, -3)),
    "heart": _Voice(_thump),
    "fish": _Voice(_bubbles),
    "robot": _Voice(_beeps, (0, 3, -2, 5)),
    "flower": _Voice(_pluck, (0, 7, 12, 7)),
    "moon": _Voice(_tick),
    "kite": _Voice(_flute, (0, 2, 5, 2)),
    "cloud": _Voice(_storm),
}
