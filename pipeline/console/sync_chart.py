"""The findings of `check-sync` along a movie as a chart: audio clocks, gaps, frame distances."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.console.sync_check import SyncCheck
from shards_spec.dataset.inspection import encode_png
from shards_spec.recipe import NANOSECONDS

WIDTH, HEIGHT = 1280, 720

_LEFT, _RIGHT = 96, 24
_PAPER, _INK, _GRID = (252, 252, 250), (40, 44, 52), (222, 224, 226)
_TIMESTAMP, _ALIGNED, _GAP, _OVERLAP = (150, 178, 214), (20, 70, 140), (214, 84, 60), (236, 170, 40)
_FONT, _FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
#: Panels: top and bottom, pixels.
_CLOCK, _STRIP, _FRAMES = (76, 370), (424, 464), (522, 672)
_TIME_STEPS_SECONDS = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 1800, 3600)


def draw_check(check: SyncCheck) -> bytes:
    """PNG bytes."""
    image = np.full((HEIGHT, WIDTH, 3), _PAPER, dtype=np.uint8)
    seconds = check.probe.duration_ns / NANOSECONDS
    _text(image, check.movie, (_LEFT, 30), 0.62)
    _draw_times(image, seconds)
    _draw_clock(image, check, seconds)
    _draw_strip(image, check, seconds)
    _draw_frames(image, check, seconds)
    return encode_png(image)


def _draw_clock(image: NDArray[np.uint8], check: SyncCheck, seconds: float) -> None:
    clock = check.clock
    _title(
        image, _CLOCK, "audio: timestamps minus counted samples, ms", _TIMESTAMP, "as in the file"
    )
    _key(image, _CLOCK, 660, _ALIGNED, "as aligned")
    values = clock.timestamp_ms if len(clock.timestamp_ms) else np.zeros(1)
    low, high = _span(values, least=4.0)
    _axis(image, _CLOCK, low, high)
    inside = (clock.seconds >= 0) & (clock.seconds <= seconds)
    x = _x(clock.seconds[inside], seconds)
    points = _y(clock.timestamp_ms[inside], _CLOCK, low, high)
    for across, down in np.unique(np.stack([x, points], axis=1), axis=0):
        cv2.circle(image, (int(across), int(down)), 2, _TIMESTAMP, -1, cv2.LINE_AA)
    _steps(image, x, _y(clock.aligned_ms[inside], _CLOCK, low, high))


def _steps(image: NDArray[np.uint8], x: NDArray[np.int64], y: NDArray[np.int64]) -> None:
    """The aligned times: a bar from each column's lowest to its highest point."""
    for column in np.unique(x):
        here = y[x == column]
        top, bottom = int(here.min()) - 1, int(here.max()) + 1
        cv2.rectangle(image, (int(column), top), (int(column) + 1, bottom), _ALIGNED, -1)


def _draw_strip(image: NDArray[np.uint8], check: SyncCheck, seconds: float) -> None:
    count, overlaps = len(check.audio.fills_ns), len(check.overlaps_ns)
    _title(image, _STRIP, "audio present", _ALIGNED, "")
    _key(image, _STRIP, 330, _GAP, f"gaps: {count}, {check.audio.filled_ns / 1e9:.2f} s")
    _key(
        image,
        _STRIP,
        560,
        _OVERLAP,
        f"overlaps: {overlaps}, {check.audio.cut_ns / 1e9:.2f} s cut",
    )
    top, bottom = _STRIP
    cv2.rectangle(image, (_LEFT, top), (WIDTH - _RIGHT, bottom), _ALIGNED, -1)
    for ranges, color in ((check.audio.fills_ns, _GAP), (check.overlaps_ns, _OVERLAP)):
        for interval in ranges:
            ends = _x(np.array(interval) / NANOSECONDS, seconds)
            # A gap is visible however short it is.
            left, right = int(ends[0]), max(int(ends[1]), int(ends[0]) + 1)
            cv2.rectangle(image, (left, top), (right, bottom), color, -1)


def _draw_frames(image: NDArray[np.uint8], check: SyncCheck, seconds: float) -> None:
    steps = np.diff(check.frames_ns) / 1e6
    kind = "variable" if check.probe.is_vfr else "constant"
    _title(image, _FRAMES, f"video: time from frame to frame, ms ({kind})", _TIMESTAMP, "")
    high = float(max(steps.max(initial=0.0) * 1.1, 1.0))
    _axis(image, _FRAMES, 0.0, high)
    x = _x(check.frames_ns[:-1] / NANOSECONDS, seconds)
    y = _y(steps, _FRAMES, 0.0, high)
    for across, down in np.unique(np.stack([x, y], axis=1), axis=0):
        cv2.circle(image, (int(across), int(down)), 1, _ALIGNED, -1, cv2.LINE_AA)


def _draw_times(image: NDArray[np.uint8], seconds: float) -> None:
    step = next((s for s in _TIME_STEPS_SECONDS if seconds / s <= 10), _TIME_STEPS_SECONDS[-1])
    for time in np.arange(0, seconds + 1e-9, step):
        x = int(_x(np.array([time]), seconds)[0])
        for top, bottom in (_CLOCK, _FRAMES):
            cv2.line(image, (x, top), (x, bottom), _GRID, 1)
        hours, rest = divmod(int(time), 3600)
        label = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if seconds >= 3600 else ""
        label = label or f"{rest // 60}:{rest % 60:02d}"
        _text(image, label, (x - 4 * len(label), HEIGHT - 24), _FONT_SIZE)


def _axis(image: NDArray[np.uint8], panel: tuple[int, int], low: float, high: float) -> None:
    for value in _round_values(low, high):
        y = int(_y(np.array([value]), panel, low, high)[0])
        cv2.line(image, (_LEFT, y), (WIDTH - _RIGHT, y), _GRID, 1)
        label = f"{value:g}"
        _text(image, label, (_LEFT - 10 - 9 * len(label), y + 5), _FONT_SIZE)


def _round_values(low: float, high: float) -> list[float]:
    """About five round values (1, 2 or 5 times a power of ten) within a range."""
    least = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
    first = int(np.ceil(low / step))
    return [float(step * number) for number in range(first, int(high // step) + 1)]


def _span(values: NDArray[np.float64], least: float) -> tuple[float, float]:
    """The range that is drawn: all values and a margin, at least `least` wide."""
    low, high = float(values.min()), float(values.max())
    margin = max(0.08 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin


def _title(
    image: NDArray[np.uint8],
    panel: tuple[int, int],
    text: str,
    color: tuple[int, int, int],
    key: str,
) -> None:
    _text(image, text, (_LEFT, panel[0] - 12), 0.5)
    if key:
        _key(image, panel, 500, color, key)


def _key(
    image: NDArray[np.uint8],
    panel: tuple[int, int],
    x: int,
    color: tuple[int, int, int],
    text: str,
) -> None:
    y = panel[0] - 16
    cv2.rectangle(image, (x, y - 5), (x + 12, y + 4), color, -1)
    _text(image, text, (x + 20, y + 4), _FONT_SIZE)


def _x(seconds: NDArray[np.float64], whole: float) -> NDArray[np.int64]:
    width = WIDTH - _LEFT - _RIGHT
    return np.asarray(np.rint(_LEFT + np.clip(seconds / whole, 0, 1) * width), dtype=np.int64)


def _y(
    values: NDArray[np.float64], panel: tuple[int, int], low: float, high: float
) -> NDArray[np.int64]:
    top, bottom = panel
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(np.rint(bottom - share * (bottom - top)), dtype=np.int64)


def _text(image: NDArray[np.uint8], text: str, at: tuple[int, int], size: float) -> None:
    # The font only has ASCII.
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, at, _FONT, size, _INK, 1, cv2.LINE_AA)
