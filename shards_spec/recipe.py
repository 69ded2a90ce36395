"""The recipe: every preprocessing setting that affects the bytes of a dataset.

It is stored in `dataset.json`. Every movie's row has its fingerprint, so that a rerun knows which
movies to keep. All defaults are our own; none is taken from a paper.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import numbers
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Literal, get_origin, get_type_hints

from shards_spec.errors import InputError, require

_require = partial(require, "recipe")

NANOSECONDS = 1_000_000_000

#: libjpeg's limit on the width and height of an image, pixels.
MAX_JPEG_SIDE = 65_500

#: JPEG's limit on the restart interval, in blocks of 16x16 pixels. A frame is one interval.
MAX_JPEG_BLOCKS = 65_535

#: Settings that the first datasets lack, with the defaults that describe those.
_ADDED_SETTINGS = {"clips_per_movie": 0.0, "fast_decode": False}

#: Offsets of the choice of clips: as many as 8 bytes tell apart.
_OFFSETS = 1 << 64

#: What a setting of each type may be given as.
_ACCEPTED: dict[type, type] = {
    bool: bool,
    float: numbers.Real,
    int: numbers.Integral,
    str: str,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How movies become clips. Two datasets with equal recipes and sources have equal bytes."""

    num_frames: int = 16
    """Frames per clip."""
    fps: float = 5.0
    """Frames per second inside a clip; a clip lasts `--num-frames` / `--fps` seconds."""
    overlap_frames: int = 0
    """Frames shared by consecutive clips; 0 for adjacent clips without overlap."""
    clips: Literal["uniform", "shots"] = "uniform"
    """Evenly spaced clips, or clips that begin with each shot and never cross a cut."""
    clips_per_movie: float = 0.0
    """Keep only these many clips of each movie, spread evenly over it, or, below 1, this share of
    them; 0 for all."""
    short_side: int = 128
    """Shorter side of the stored frames, pixels; a multiple of 16. The aspect ratio is kept."""
    jpeg_quality: int = 90
    """JPEG quality of the film strips, 1 to 100."""
    crop_bars: bool = True
    """Detect black bars once per movie and crop them."""
    sample_rate_hz: int = 16_000
    """Sample rate of the mono audio that features are computed from, Hz."""
    n_mels: int = 80
    """Mel bands of the stored log-mel spectrogram."""
    window_ms: float = 25.0
    """Length of the Hann window, milliseconds."""
    hop_ms: float = 10.0
    """Time between spectrogram columns, milliseconds."""
    mel_low_hz: float = 20.0
    """Lower edge of the lowest mel band, Hz."""
    mel_high_hz: float = 8_000.0
    """Upper edge of the highest mel band, Hz; at most half the sample rate."""
    store_audio: bool = False
    """Also store each clip's mono PCM as `.audio.flac`."""
    language: str = ""
    """Preferred audio language (ISO 639, such as `eng` or `en`); empty for the movie's default."""
    black_luma: float = 20.0
    """Drop a clip as black if its mean luma is below this and its deviation below 5; 0..255."""
    silent_dbfs: float = -70.0
    """Drop a clip as silent if its RMS level is below this, dB relative to full scale."""
    frozen_motion: float = 0.05
    """Drop a clip as frozen if its mean absolute luma change per frame is below this; 0..255."""
    shot_threshold: float = 27.0
    """Content score (mean HSV change, 0..255) above which two frames belong to different shots."""
    shard_bytes: int = 256 * 1024 * 1024
    """Target size of a shard, bytes; the clip that reaches it is the shard's last."""
    seed: int = 0
    """Seed of the order of a movie's clips in its shards."""
    fast_decode: bool = field(default=False, metadata={"is_flag": False})
    """Decode without loop filter, and show the source frame before the exact one where that saves
    a frame; set by `--decode fast`. The error is in the index."""

    def __post_init__(self) -> None:
        self._normalize_types()
        _require(self.num_frames >= 1, f"{self.num_frames = }: at least 1 frame per clip")
        _require(0.0 < self.fps <= 240.0, f"{self.fps = }: between 0 and 240 frames per second")
        _require(
            0 <= self.overlap_frames < self.num_frames,
            f"{self.overlap_frames = }: at least 0 and less than {self.num_frames = }",
        )
        _require(
            self.clips in ("uniform", "shots"),
            f'{self.clips = }: either "uniform" or "shots"',
        )
        _require(
            self.clips_per_movie >= 0
            and (self.clips_per_movie < 1 or self.clips_per_movie.is_integer()),
            f"{self.clips_per_movie = }: a number of clips (1, 2, ...), a share of them "
            "(above 0 and below 1), or 0 for all",
        )
        _require(
            self.short_side >= 16 and self.short_side % 16 == 0,
            f"{self.short_side = }: a positive multiple of 16, so no JPEG block spans two frames",
        )
        _require(
            self.num_frames * self.short_side <= MAX_JPEG_SIDE,
            f"{self.num_frames = } of {self.short_side = } do not fit in one JPEG "
            f"({MAX_JPEG_SIDE} pixels); use fewer or smaller frames",
        )
        _require(1 <= self.jpeg_quality <= 100, f"{self.jpeg_quality = }: between 1 and 100")
        _require(
            4_000 <= self.sample_rate_hz <= 1_000_000,
            f"{self.sample_rate_hz = }: between 4000 and 1,000,000 Hz",
        )
        _require(1 <= self.n_mels <= 65_536, f"{self.n_mels = }: between 1 and 65,536 bands")
        _require(self.window_ms <= 10_000, f"{self.window_ms = }: at most 10,000 ms")
        _require(self.window_ms >= self.hop_ms > 0, "window_ms >= hop_ms > 0")
        _require(
            self.hop_samples >= 1,
            f"{self.hop_ms = }: less than one sample at {self.sample_rate_hz = }",
        )
        _require(
            0.0 <= self.mel_low_hz < self.mel_high_hz <= self.sample_rate_hz / 2,
            f"mel bands {self.mel_low_hz}..{self.mel_high_hz} Hz must lie between 0 and "
            f"{self.sample_rate_hz / 2} Hz",
        )
        _require(self.shard_bytes >= 1, f"{self.shard_bytes = }: at least 1 byte")
        _require(self.num_mel_frames >= 1, "a clip must be at least one hop long")

    def _normalize_types(self) -> None:
        """Convert settings to the types of their fields: `fps=5` and `Fraction(5)` become 5.0.

        Code that reads a setting, and the fingerprint, then depends on the value alone.
        """
        for name, kind in _kinds().items():
            value = getattr(self, name)
            # In Python, bool is a subclass of int; here it is not an integer.
            accepted = isinstance(value, _ACCEPTED[kind]) and isinstance(value, bool) == (
                kind is bool
            )
            _require(accepted, f"{name} = {value!r} is not a {kind.__name__}")
            _require(kind is not float or _is_finite(value), f"{name} is not finite")
            object.__setattr__(self, name, kind(value))

    @property
    def fps_fraction(self) -> Fraction:
        """`fps` as an exact rational number; all times are computed with it.

        The decimal number as written, except that 23.976 means 24000/1001; likewise for all rates
        within a factor of 1e-5 of a whole number of frames per 1.001 seconds.
        """
        return _exact_rate(self.fps)

    @property
    def stride_frames(self) -> int:
        """Grid steps (of 1 / fps seconds) from one clip's start to the next one's."""
        return self.num_frames - self.overlap_frames

    @property
    def clip_samples(self) -> int:
        """Audio samples per clip."""
        return round(Fraction(self.num_frames * self.sample_rate_hz) / self.fps_fraction)

    @property
    def window_samples(self) -> int:
        """Length of the Hann window, samples."""
        return round(self.sample_rate_hz * self.window_ms / 1000)

    @property
    def hop_samples(self) -> int:
        """Samples between spectrogram columns."""
        return round(self.sample_rate_hz * self.hop_ms / 1000)

    @property
    def n_fft(self) -> int:
        """FFT length, samples: the smallest power of two that is not shorter than the window."""
        return int(1 << (self.window_samples - 1).bit_length())

    @property
    def num_mel_frames(self) -> int:
        """Columns of a clip's log-mel spectrogram."""
        return self.clip_samples // self.hop_samples

    def num_chosen(self, num_clips: int) -> int:
        """How many clips of a movie are made, of `num_clips` that it could yield."""
        wanted = int(self.clips_per_movie)
        if 0 < self.clips_per_movie < 1:
            wanted = max(1, round(Fraction(repr(self.clips_per_movie)) * num_clips))
        return min(wanted, num_clips) if self.clips_per_movie else num_clips

    def chosen_clips(self, movie_id: str, num_clips: int) -> range | tuple[int, ...]:
        """Which clips of a movie are made, as positions among the `num_clips` that it could yield.

        Every k-th one, with k = `num_clips` / chosen ones, from an offset below k that depends on
        `seed` and movie. All of them unless `clips_per_movie` says otherwise.
        """
        count = self.num_chosen(num_clips)
        if count == num_clips:
            return range(num_clips)
        offset = self._offset(movie_id)
        return tuple(_position(number, offset, count, num_clips) for number in range(count))

    def is_chosen(self, movie_id: str, num_clips: int, position: int) -> bool:
        """Whether `chosen_clips` contains a position; takes no memory for any `num_clips`."""
        count = self.num_chosen(num_clips)
        if count == num_clips:
            return 0 <= position < num_clips
        number, offset = position * count // num_clips, self._offset(movie_id)
        return any(
            _position(near, offset, count, num_clips) == position
            for near in range(max(0, number - 1), min(count, number + 2))
        )

    def _offset(self, movie_id: str) -> int:
        digest = hashlib.sha256(f"{self.seed} {movie_id}".encode()).digest()
        return int.from_bytes(digest[:8], "little")

    def grid_ns(self, step: int) -> int:
        """Nanoseconds on the movie timeline of grid step `step`: round(step / fps)."""
        return round(Fraction(step * NANOSECONDS) / self.fps_fraction)

    def to_json(self) -> dict[str, Any]:
        """Plain values in field order; `fps=5` and `fps=5.0` give the same values.

        Settings that the first datasets lack are left out at their defaults, so that recipes keep
        their fingerprints.
        """
        values = dataclasses.asdict(self)
        for name, default in _ADDED_SETTINGS.items():
            if values[name] == default:
                del values[name]
        return {name: kind(values[name]) for name, kind in _kinds().items() if name in values}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`. Raises `InputError` for unknown settings and wrong types."""
        kinds = _kinds()
        unknown = sorted(set(values) - set(kinds))
        if unknown:
            raise InputError(
                f"recipe has unknown settings {unknown}; it was written by a newer reelshards"
            )
        for name, value in values.items():
            allowed = (int, float) if kinds[name] is float else (kinds[name],)
            # In Python, bool is a subclass of int; here it is not an integer.
            if not isinstance(value, allowed) or isinstance(value, bool) != (kinds[name] is bool):
                raise InputError(f"recipe: {name} = {value!r} is not a {kinds[name].__name__}")
        return Recipe(**values)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when any setting changes."""
        return fingerprint_of(self.to_json())


def _position(number: int, offset: int, count: int, num_clips: int) -> int:
    """Of the chosen clip with this number, of `count` among `num_clips`."""
    return (number * _OFFSETS + offset) * num_clips // (count * _OFFSETS)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def fingerprint_of(values: Any) -> str:
    """First 16 hex digits of the SHA-256 of `values` as canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _exact_rate(fps: float) -> Fraction:
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    return ntsc if abs(float(ntsc) / fps - 1.0) < 1e-5 else Fraction(repr(float(fps)))


def _kinds() -> dict[str, type]:
    """Type of each setting as JSON stores it."""
    hints = get_type_hints(Recipe)
    return {name: str if get_origin(hint) is Literal else hint for name, hint in hints.items()}
