"""The frames of a movie, drawn directly as yuv420p: luma in full size, chroma in half.

    background (panned view)  +  figures (sampled from a sprite)  ->  vignette  ->  grain  ->  bars

What does not change within a shot is drawn once; a frame costs a few passes over uint8 arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.demo.classes import BLACK_LABEL
from pipeline.demo.drawing.figures import SPRITE_EXTENT, SPRITE_SIDE, ByteArray, Sprite, draw_figure
from pipeline.demo.drawing.look import Look, palette
from pipeline.demo.drawing.motion import Floats, flash, move
from pipeline.demo.drawing.places import Ground, draw_ground
from pipeline.demo.scenario import DemoMovie, Shot
from pipeline.demo.sound.render import ECHO_SECONDS

PAN_SHARE = 0.12
"""Relative excess of the background over the frame, which gives the camera room to pan."""
RADIUS_SHARE = 0.35
"""Radius of a single figure of size 1, in active heights."""
TROUPE_SCALE = (1.0, 0.8, 0.66)
TROUPE_SPREAD = (0.0, 0.21, 0.28)
"""Distance of the outer figures from the center, in active widths, by number of figures."""
FLASH_LUMA = 40
BLACK_LUMA = 16
NEUTRAL_CHROMA = 128
MOST_GRAIN = 9


@dataclass(frozen=True)
class Canvas:
    """A frame in memory, and views of the part inside the black bars."""

    frame: ByteArray
    """`(3 / 2 * H * W,)` uint8: the bytes for ffmpeg."""
    luma: ByteArray
    """`(h, w)` view."""
    blue: ByteArray
    """`(h / 2, w / 2)` view, like `red`."""
    red: ByteArray


@dataclass(frozen=True)
class _Pose:
    """One figure in one frame."""

    x: float
    y: float
    angle: float
    half_width: float
    half_height: float
    flash: float


def draw_frames(movie: DemoMovie, width: int, height: int) -> Iterator[ByteArray]:
    """All frames of the movie in order, in one buffer that the next frame overwrites."""
    canvas = _new_canvas(movie, width, height)
    for number, shot in enumerate(movie.shots):
        if shot.label == BLACK_LABEL:
            _paint_black(canvas)
            for _ in range(shot.start_frame, shot.stop_frame):
                yield canvas.frame
        else:
            yield from _draw_shot(movie, shot, canvas, pan_right=number % 2 == 0)


def _new_canvas(movie: DemoMovie, width: int, height: int) -> Canvas:
    frame = np.empty(width * height * 3 // 2, np.uint8)
    luma, blue, red = np.split(frame, [width * height, width * height * 5 // 4])
    luma[:], blue[:], red[:] = BLACK_LUMA, NEUTRAL_CHROMA, NEUTRAL_CHROMA
    top, left = (height - movie.active_height) // 4, (width - movie.active_width) // 4
    rows, columns = movie.active_height // 2, movie.active_width // 2
    chroma = (slice(top, top + rows), slice(left, left + columns))
    return Canvas(
        frame=frame,
        luma=luma.reshape(height, width)[
            2 * top : 2 * (top + rows), 2 * left : 2 * (left + columns)
        ],
        blue=blue.reshape(height // 2, width // 2)[chroma],
        red=red.reshape(height // 2, width // 2)[chroma],
    )


def _paint_black(canvas: Canvas) -> None:
    canvas.luma[:] = BLACK_LUMA
    canvas.blue[:] = NEUTRAL_CHROMA
    canvas.red[:] = NEUTRAL_CHROMA


def _draw_shot(
    movie: DemoMovie, shot: Shot, canvas: Canvas, *, pan_right: bool
) -> Iterator[ByteArray]:
    height, width = canvas.luma.shape
    room = 2 * round(PAN_SHARE * width / 2)
    colors = palette(shot.look)
    ground = draw_ground(shot.place, colors, width + room, height, shot.seed)
    sprite = draw_figure(shot.label, colors)
    vignette = _vignette(shot.look, width, height)
    grain, rng = _grain(shot, width, height), np.random.default_rng(shot.seed)
    num_frames = shot.stop_frame - shot.start_frame
    since_start = np.arange(num_frames) / float(movie.fps)
    beat = shot.first_beat + since_start * shot.beats_per_second
    poses = _poses(shot, beat, width, height)
    for number in range(num_frames):
        progress = number / num_frames
        _paint_ground(canvas, ground, int(room * (progress if pan_right else 1 - progress)))
        for pose in poses[number]:
            _paint_figure(canvas, sprite, pose)
        shaded = np.multiply(canvas.luma, vignette, dtype=np.uint16) >> 8
        top, left = rng.integers(0, (grain.shape[0] - height + 1, grain.shape[1] - width + 1))
        # Wraps around intentionally: the grain is two's complement, and luma is far from 0 and 255.
        canvas.luma[:] = shaded.astype(np.uint8) + grain[top : top + height, left : left + width]
        yield canvas.frame


def _vignette(look: Look, width: int, height: int) -> ByteArray:
    across = np.linspace(-1, 1, width)[None, :] ** 2
    down = np.linspace(-1, 1, height)[:, None] ** 2
    return np.round(255 * (1 - 0.5 * look.vignette * (across + down))).astype(np.uint8)


def _grain(shot: Shot, width: int, height: int) -> ByteArray:
    """Noise slightly larger than the frame, as uint8 that wraps around."""
    rng = np.random.default_rng([shot.seed, 1])
    noise = rng.standard_normal((height + 16, width + 16), np.float32) * shot.look.grain
    return np.clip(np.round(noise), -MOST_GRAIN, MOST_GRAIN).astype(np.int8).view(np.uint8)


def _poses(shot: Shot, beat: Floats, width: int, height: int) -> list[list[_Pose]]:
    """The figures of every frame; each one follows the previous one like an echo."""
    members = shot.num_figures
    radius = RADIUS_SHARE * height * shot.size * TROUPE_SCALE[members - 1]
    spread = TROUPE_SPREAD[members - 1] * width
    room_x = max(0.1 * width, width / 2 - 0.9 * radius - spread)
    room_y = max(0.08 * height, height / 2 - 0.9 * radius)
    poses: list[list[_Pose]] = [[] for _ in beat]
    for member in range(members):
        slot = spread * (2 * member / (members - 1) - 1) if members > 1 else 0.0
        own = beat - member * ECHO_SECONDS * shot.beats_per_second
        path, light = move(shot.label, own), flash(own)
        fields = np.broadcast_arrays(
            width / 2 + slot + room_x * path.x,
            height / 2 + room_y * path.y,
            path.angle,
            radius * (1 + path.swell - path.stretch),
            radius * (1 + path.swell + path.stretch),
            light,
        )
        for frame, values in enumerate(np.stack(fields, axis=-1).tolist()):
            poses[frame].append(_Pose(*values))
    return poses


def _paint_ground(canvas: Canvas, ground: Ground, offset: int) -> None:
    half = offset // 2
    canvas.luma[:] = ground.luma[:, offset : offset + canvas.luma.shape[1]]
    canvas.blue[:] = ground.blue[:, half : half + canvas.blue.shape[1]]
    canvas.red[:] = ground.red[:, half : half + canvas.red.shape[1]]


def _paint_figure(canvas: Canvas, sprite: Sprite, pose: _Pose) -> None:
    height, width = canvas.luma.shape
    reach = math.hypot(pose.half_width, pose.half_height)
    left, right = _even_span(pose.x, reach, width)
    top, bottom = _even_span(pose.y, reach, height)
    if left >= right or top >= bottom:
        return
    samples = _sample_sprite(pose, left, right, top, bottom)
    alpha = sprite.alpha[samples].astype(np.int16)
    light = np.minimum(sprite.luma[samples] + np.int16(FLASH_LUMA * pose.flash), 235)
    _blend(canvas.luma[top:bottom, left:right], light, alpha)
    samples, alpha = samples[::2, ::2], alpha[::2, ::2]
    half = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
    _blend(canvas.blue[half], sprite.blue[samples].astype(np.int16), alpha)
    _blend(canvas.red[half], sprite.red[samples].astype(np.int16), alpha)


def _even_span(middle: float, reach: float, size: int) -> tuple[int, int]:
    """The even-sized, clipped range of pixels around a center."""
    return max(0, 2 * math.floor((middle - reach) / 2)), min(
        size, 2 * math.ceil((middle + reach) / 2)
    )


def _sample_sprite(
    pose: _Pose, left: int, right: int, top: int, bottom: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Index into the sprite for each pixel of the range: rotation and scale inverted."""
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(pose.x)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(pose.y)
    cosine, sine = math.cos(pose.angle), math.sin(pose.angle)
    per_u = SPRITE_SIDE / 2 / SPRITE_EXTENT / pose.half_width
    per_v = SPRITE_SIDE / 2 / SPRITE_EXTENT / pose.half_height
    middle = SPRITE_SIDE / 2
    column = (x * np.float32(cosine * per_u) + middle) + y * np.float32(sine * per_u)
    row = (y * np.float32(cosine * per_v) + middle) - x * np.float32(sine * per_v)
    np.clip(column, 0, SPRITE_SIDE - 1, out=column)
    np.clip(row, 0, SPRITE_SIDE - 1, out=row)
    return row.astype(np.int32) * SPRITE_SIDE + column.astype(np.int32)


def _blend(
    into: ByteArray,
    over: np.ndarray[tuple[int, ...], np.dtype[np.int16]],
    alpha: np.ndarray[tuple[int, ...], np.dtype[np.int16]],
) -> None:
    """`alpha` / 128 of `over` on `into`; the product stays below 2 ** 15."""
    over -= into
    over *= alpha
    over >>= 7
    over += into
    into[:] = over.astype(np.uint8)
