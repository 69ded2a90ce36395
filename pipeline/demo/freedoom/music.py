"""The music of a map: its own notes (MIDI, in the game's file), rendered with a soundfont."""

from __future__ import annotations

import io
import wave

import numpy as np
import soxr

from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.freedoom.maps import GameMap, lump, require

#: General MIDI, in the package pretty_midi.
SOUNDFONT = "TimGM6mb.sf2"


def render_music(game_map: GameMap, num_samples: int, rate_hz: int, dbfs: float) -> FloatArray:
    """`(num_samples,)` float32 in mono, repeated as in the game, with the given RMS level."""
    require("midirenderer")
    import midirenderer

    font = (require("pretty_midi") / SOUNDFONT).read_bytes()
    with wave.open(io.BytesIO(midirenderer.render_wave_from(font, _notes(game_map)))) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        stereo = pcm.reshape(-1, file.getnchannels()).astype(np.float32) / 32768
        rendered_hz = file.getframerate()
    mono = soxr.resample(stereo.mean(axis=1), rendered_hz, rate_hz)
    looped = np.resize(mono, num_samples).astype(np.float32)
    rms = float(np.sqrt(np.mean(np.square(looped, dtype=np.float64))))
    return np.asarray(looped * (10 ** (dbfs / 20) / rms if rms > 0 else 0.0), np.float32)


def _notes(game_map: GameMap) -> bytes:
    return lump(game_map.wad, game_map.music)
