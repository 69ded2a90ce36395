"""One movie: a map played by the bot, its music, and the labels of both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.demo.drawing.figures import ByteArray
from pipeline.demo.drawing.look import FloatArray, yuv_planes
from pipeline.demo.encode import encode_movie
from pipeline.demo.freedoom.config import TIC_RATE_HZ, TICS_PER_FRAME, FreedoomConfig
from pipeline.demo.freedoom.explorer import Explorer
from pipeline.demo.freedoom.game import SAMPLE_RATE_HZ, find_places, play, to_mono
from pipeline.demo.freedoom.maps import GameMap
from pipeline.demo.freedoom.music import render_music
from pipeline.demo.freedoom.truth import Stretch, Truth
from shards_spec.errors import InputError

FPS = Fraction(TIC_RATE_HZ, TICS_PER_FRAME)


@dataclass(frozen=True)
class Session:
    """What the engine gave, apart from the frames."""

    effects: FloatArray
    """`(samples,)` float32 in [-1, 1], at `SAMPLE_RATE_HZ`."""
    seen: list[Stretch]
    heard: list[Stretch]


def record(target: Path, game_map: GameMap, config: FreedoomConfig) -> Session:
    """Play, and write the movie; `target` is complete or absent.

    Raises `InputError` if the engine makes no sound, which it does without OpenAL.
    """
    width, height = config.size
    with tempfile.TemporaryFile(dir=target.parent) as frames:
        session = play_session(game_map, config, frames.write)
        if not session.effects.any():
            raise InputError(
                "freedoom: the engine is silent; it needs the system library OpenAL "
                "(libopenal.so.1; on Debian: apt install libopenal1)"
            )
        music = render_music(game_map, len(session.effects), SAMPLE_RATE_HZ, config.music_dbfs)
        frames.seek(0)
        encode_movie(
            target,
            _read(frames.fileno(), width * height * 3 // 2),
            np.clip(session.effects + music, -1, 1),
            fps=FPS,
            width=width,
            height=height,
            sample_rate_hz=SAMPLE_RATE_HZ,
        )
    return session


def play_session(
    game_map: GameMap, config: FreedoomConfig, write_frame: Callable[[bytes], object]
) -> Session:
    """Play a map; `write_frame` receives each frame as yuv420p bytes."""
    truth, audio = Truth(), []
    places = find_places(game_map, config.size, config.seed)
    explorer = Explorer(f"{config.seed} {game_map.movie}", places)
    is_cut = True
    with play(game_map, config.size, config.seed) as game:
        for tic in range(config.num_tics):
            view = game.view()
            episodes = game.episodes
            truth.add(view, is_cut=is_cut)
            audio.append(view.audio.copy())
            if tic % TICS_PER_FRAME == 0:
                write_frame(_yuv420p(view.frame))
            action, is_cut = explorer.act(view)
            game.step(action)
            is_cut = is_cut or game.episodes > episodes
    return Session(effects=to_mono(audio), seen=truth.seen(), heard=truth.heard())


def _yuv420p(frame: ByteArray) -> bytes:
    luma, blue, red = yuv_planes(np.asarray(frame, np.float32) / np.float32(255))
    return b"".join(plane.tobytes() for plane in (luma, _halved(blue), _halved(red)))


def _halved(plane: ByteArray) -> ByteArray:
    """`(height, width)` -> `(height / 2, width / 2)`: rounded means of 2 x 2 pixels."""
    wide = plane.astype(np.uint16)
    rows = wide[0::2] + wide[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) // 4).astype(np.uint8)


def _read(descriptor: int, size: int) -> Iterator[ByteArray]:
    with open(descriptor, "rb", closefd=False) as file:
        while data := file.read(size):
            yield np.frombuffer(data, np.uint8)
