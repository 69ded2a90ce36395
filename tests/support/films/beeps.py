"""Movies whose audio can be timed to a fraction of a millisecond, through any codec.

Each beep is a chirp: its autocorrelation has one sharp peak, so the position of the best
correlation is its onset, in spite of any pre-echo or filter of a lossy codec.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from pipeline.audio.clips import MovieAudio
from pipeline.plan.movie_plan import PlacedPlan
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films import oracle
from tests.support.films.media import Film, ffmpeg, make_film, pixels_of, pts_of, read_number

RECIPE = Recipe(num_frames=8, short_side=112, store_audio=True, crop_bars=False)
RATE_HZ = 48_000
BEEP_SECONDS = 0.04
FILM = Film(seconds=12.0, audio=())
LIMIT_SECONDS = 1e-3

#: Video encoders; an empty one means that of `media.Film`.
MPEG4 = ("-c:v", "mpeg4", "-q:v", "3")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8")
H264: tuple[str, ...] = ()

_FLV_SOUND = 8
_LOW_HZ, _HIGH_HZ = 400.0, 3_600.0


def chirp(rate_hz: float) -> NDArray[np.float64]:
    """One beep, amplitude 0.6, faded in and out over 1 ms."""
    time = np.arange(round(BEEP_SECONDS * rate_hz)) / rate_hz
    sweep = (_HIGH_HZ - _LOW_HZ) / BEEP_SECONDS
    fade = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.001)
    tone: NDArray[np.float64] = 0.6 * fade * np.sin(2 * np.pi * (_LOW_HZ + sweep / 2 * time) * time)
    return tone


def beeping(seconds: float, times: list[float], rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    """Audio with a beep at each time over quiet noise, so that no clip is silent."""
    count = round(seconds * rate_hz)
    samples = 0.002 * np.sin(2 * np.pi * 220 * np.arange(count + rate_hz) / rate_hz)
    tone = chirp(rate_hz)
    for time in times:
        start = round(time * rate_hz)
        samples[start : start + len(tone)] += tone
    return samples[:count]


def write_wav(path: Path, samples: NDArray[np.float64], rate_hz: int = RATE_HZ) -> Path:
    """(T,) or (T, channels) samples in [-1, 1], 16 bits."""
    channels = samples.reshape(len(samples), -1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.round(channels * 32767).astype("<i2").tobytes())
    return path


def flash_times(film: Film = FILM) -> list[float]:
    """When the flashes are on screen, seconds."""
    return [float(number / film.fps) for number in film.flash_frames]


def find_beeps(samples: NDArray[np.floating], rate_hz: int) -> list[float]:
    """Onsets of the beeps in mono samples, seconds."""
    tone = chirp(rate_hz)
    # In parts, because the audio may last half an hour.
    score = oaconvolve(samples, tone[::-1])[len(tone) - 1 :]
    limit = 0.35 * float(tone @ tone)
    found: list[float] = []
    places = np.flatnonzero(score > limit)
    while len(places):
        peak = int(places[score[places].argmax()])
        left, middle, right = (score[max(0, min(len(score) - 1, peak + i))] for i in (-1, 0, 1))
        bend = left - 2 * middle + right
        found.append((peak + (0.5 * (left - right) / bend if bend else 0.0)) / rate_hz)
        places = places[np.abs(places - peak) > 0.2 * rate_hz]
    return sorted(found)


@dataclass(frozen=True)
class Seen:
    """What PyAV decodes from a movie; container time in seconds."""

    first_frame: float
    flashes: list[float]
    """Times at which the flash frames come on screen."""

    def skews(self, beeps: list[float]) -> list[float]:
        """For each flash, the time of the nearest beep minus that of the flash."""
        return [min((beep - flash for beep in beeps), key=abs) for flash in self.flashes]


def look(path: Path, film: Film = FILM) -> Seen:
    """Decode the video of a movie with PyAV: frames by pts."""
    with av.open(str(path)) as container:
        shown = {
            read_number(pixels_of(frame)): float(pts_of(frame))
            for frame in container.decode(video=0)
        }
    flashes = [shown[number] for number in film.flash_frames if number in shown]
    return Seen(min(shown.values()), flashes)


def hear(path: Path) -> list[float]:
    """Onsets of the beeps by PyAV, seconds of the container.

    Frames are contiguous unless a pts is more than 10 ms from there.
    """
    start, position = 0.0, 0.0
    pieces: list[tuple[float, NDArray[np.float64]]] = []
    rate = RATE_HZ
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            time = position if frame.pts is None else float(pts_of(frame))
            position = time if not pieces or abs(time - position) > 0.01 else position
            pieces.append((position, _mono(frame)))
            position += frame.samples / rate
    if not pieces:
        return []
    start = min(time for time, _ in pieces)
    end = max(time + len(samples) / rate for time, samples in pieces)
    timeline = np.zeros(round((end - start) * rate) + 1)
    for time, samples in pieces:
        place = round((time - start) * rate)
        timeline[place : place + len(samples)] = samples
    return [start + time for time in find_beeps(timeline, rate)]


def _mono(frame: av.AudioFrame) -> NDArray[np.float64]:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    scale = float(np.iinfo(str(samples.dtype)).max) if samples.dtype.kind == "i" else 1.0
    mono: NDArray[np.float64] = samples.mean(axis=0, dtype=np.float64) / scale
    return mono


def picture(folder: Path, *codec: str, suffix: str = ".mkv", film: Film = FILM) -> Path:
    """A movie without audio, to be muxed with several tracks."""
    coder = codec or film.video
    name = "".join(c for c in coder[1] if c.isalnum())
    path = folder / f"picture-{name}{suffix}"
    if not path.exists():
        make_film(path, Film(seconds=film.seconds, audio=(), video=coder, fps=film.fps))
    return path


def retime(path: Path, new_time: Callable[[int], int]) -> Path:
    """Change the audio timestamps of an FLV, in milliseconds; FLV allows any."""
    data = bytearray(path.read_bytes())
    place = 13
    while place + 11 <= len(data):
        kind, size = data[place], int.from_bytes(data[place + 1 : place + 4], "big")
        if kind == _FLV_SOUND:
            time = int.from_bytes(data[place + 4 : place + 7], "big") | data[place + 7] << 24
            milliseconds = max(0, new_time(time))
            data[place + 4 : place + 7] = (milliseconds & 0xFFFFFF).to_bytes(3, "big")
            data[place + 7] = milliseconds >> 24
        place += 11 + size + 4
    path.write_bytes(data)
    return path


def strip_times(path: Path, keep: Callable[[int], bool]) -> Path:
    """Remove the timestamps of the audio packets of an MPEG-2 stream, except those to `keep`.

    Five bytes of a packet's header become stuffing (ISO/IEC 13818-1, 2.4.3.6).
    """
    data = bytearray(path.read_bytes())
    number = -1
    place = data.find(b"\0\0\1")
    while place >= 0:
        is_sound = data[place + 3] == 0xBD or 0xC0 <= data[place + 3] <= 0xDF
        if is_sound and data[place + 6] >> 6 == 2 and data[place + 7] >> 6 == 2:
            number += 1
            if not keep(number):
                data[place + 7] &= 0x3F
                data[place + 9 : place + 14] = b"\xff" * 5
        place = data.find(b"\0\0\1", place + 4)
    assert number > 20
    path.write_bytes(data)
    return path


def mux(path: Path, video: Path, sound: Path, *options: str) -> Path:
    """Copy the video and encode the audio with `options`."""
    maps = ("-map", "0:v", "-map", "1:a", "-c:v", "copy")
    ffmpeg("-i", video, "-i", sound, *maps, *options, path)
    return path


def plan_of(path: Path, recipe: Recipe = RECIPE, seconds: float = 1000.0) -> PlacedPlan:
    """The plan of a movie, in segments of about `seconds`."""
    return oracle.plan_of(path, recipe, seconds)


def stored_sound(plan: PlacedPlan) -> tuple[MovieAudio, NDArray[np.float64]]:
    """The audio of all clips on one timeline from t = 0; zeros between clips."""
    sound, data = oracle.decoded_audio(plan)
    rate = plan.recipe.sample_rate_hz
    end = round(plan.clip_end_ns(plan.end_clip - 1) * rate / NANOSECONDS) + 1
    timeline = np.zeros(end)
    for clip in sound.clips:
        assert abs(clip.skew_ns) <= NANOSECONDS / rate / 2
        begin = clip.logmel_offset + clip.logmel_bytes
        flac = io.BytesIO(data[begin : begin + clip.flac_bytes].tobytes())
        samples, found_rate = soundfile.read(flac)
        assert (found_rate, len(samples)) == (rate, plan.recipe.clip_samples)
        first = round(plan.clip_start_ns(clip.clip_number) * rate / NANOSECONDS)
        timeline[first : first + len(samples)] = samples[: end - first]
    return sound, timeline


def stored_beeps(plan: PlacedPlan) -> tuple[MovieAudio, list[float]]:
    """The audio of a movie, and the times of the beeps in its clips, seconds."""
    sound, timeline = stored_sound(plan)
    return sound, find_beeps(timeline, plan.recipe.sample_rate_hz)


def check(path: Path, seen: Seen | None = None, own_skew: float = 0.0) -> tuple[MovieAudio, int]:
    """Every beep coincides with its flash; returns the audio and the number of beeps."""
    seen = seen or look(path)
    plan = plan_of(path)
    audio, beeps = stored_beeps(plan)
    flashes = np.array(seen.flashes) - seen.first_frame
    skews = [float((beep - flashes)[np.abs(beep - flashes).argmin()]) for beep in beeps]
    assert len(beeps) <= len(flashes)
    assert max(abs(skew - own_skew) for skew in skews) < LIMIT_SECONDS, skews
    return audio, len(beeps)


def num_expected(path: Path) -> int:
    """Flashes before the end of the last clip."""
    plan = plan_of(path)
    end = plan.clip_end_ns(plan.end_clip - 1) / NANOSECONDS
    return sum(time + 0.04 < end for time in flash_times())
