"""The engine, one tic at a time: what it shows, plays and knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.demo.drawing.figures import ByteArray
from pipeline.demo.drawing.look import FloatArray
from pipeline.demo.freedoom.config import TIC_RATE_HZ
from pipeline.demo.freedoom.maps import GameMap, require
from pipeline.demo.freedoom.supervisor import supervised
from pipeline.ffmpeg import reaper
from shards_spec.errors import InputError

SAMPLE_RATE_HZ = 22_050
SAMPLES_PER_TIC = SAMPLE_RATE_HZ // TIC_RATE_HZ
"""630: audio and frames share the clock of the engine exactly."""

#: Tics by which the episode's first state is delayed: the engine draws its start-up first.
_EPISODE_START = 10

#: Weapons of the keys that the bot uses.
WEAPONS = {2: "pistol", 3: "shotgun", 4: "chaingun", 5: "rocket launcher", 6: "plasma rifle"}

_VARIABLES = (
    *("HEALTH", "ARMOR", "KILLCOUNT", "HITCOUNT", "HITS_TAKEN", "ITEMCOUNT"),
    *("SELECTED_WEAPON", "SELECTED_WEAPON_AMMO", "POSITION_X", "POSITION_Y"),
)


@dataclass(frozen=True)
class Visible:
    """An object in the frame."""

    number: int
    """The same for one object throughout an episode."""
    name: str
    category: str
    center: float
    """Horizontal position in the frame, -1 (left) to 1."""
    area: float
    """Share of the frame that its bounding box covers."""


@dataclass(frozen=True)
class Place:
    """Where an object is when the map begins, in the map's units."""

    category: str
    x: float
    y: float


@dataclass(frozen=True)
class View:
    """One tic."""

    frame: ByteArray
    """`(height, width, 3)` RGB."""
    audio: npt.NDArray[np.int16]
    """`(SAMPLES_PER_TIC, 2)` int16."""
    visible: tuple[Visible, ...]
    variables: dict[str, float]
    """By the engine's name."""


@dataclass(frozen=True)
class Action:
    """What the player does in one tic."""

    attack: bool = False
    use: bool = False
    forward: bool = False
    turn_degrees: float = 0.0
    """Positive: to the right."""
    weapon: int = 0
    """Key of `WEAPONS` to take in hand, 0 for none."""
    warp: tuple[float, float] | None = None
    """Position to move to at once."""


class Game:
    """A running map. Dying is impossible; ending the map begins it again."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.episodes = 0
        self._begin()

    def view(self) -> View:
        """The state after the last tic."""
        state = self._engine.get_state()
        height, width = state.screen_buffer.shape[:2]
        return View(
            frame=state.screen_buffer,
            audio=state.audio_buffer,
            visible=tuple(
                Visible(
                    number=label.object_id,
                    name=label.object_name,
                    category=label.object_category,
                    center=(label.x + label.width / 2) / width * 2 - 1,
                    area=label.width * label.height / (width * height),
                )
                for label in state.labels
            ),
            variables=dict(zip(_VARIABLES, map(float, state.game_variables), strict=True)),
        )

    def step(self, action: Action) -> None:
        """One tic."""
        if action.warp:
            x, y = action.warp
            for command in (f"warp {x:.1f} {y:.1f}", "give health", "give ammo"):
                self._engine.send_game_command(command)
        buttons = [action.attack, action.use, action.forward, action.turn_degrees]
        buttons += [action.weapon == key for key in WEAPONS]
        self._engine.make_action([float(button) for button in buttons], 1)
        if self._engine.is_episode_finished():
            self._engine.new_episode()
            self._begin()

    def _begin(self) -> None:
        self.episodes += 1
        for command in ("buddha", "give weapons", "give ammo"):
            self._engine.send_game_command(command)


def find_places(game_map: GameMap, size: tuple[int, int], seed: int) -> list[Place]:
    """All objects of a map when it begins. Raises `InputError` as `play` does.

    In an engine of its own, since this list cannot be had at some tics only: the engine writes it
    at every tic or never, and on a map of 300 objects that takes longer than all the rest.
    """
    with _engine(game_map, size, seed, lists_objects=True) as engine:
        objects = engine.get_state().objects
        return [Place(one.category, one.position_x, one.position_y) for one in objects]


@contextlib.contextmanager
def play(game_map: GameMap, size: tuple[int, int], seed: int) -> Iterator[Game]:
    """Start the engine on a map; it ends with the block, and with this process.

    Raises `InputError` if the engine cannot run here, above all for lack of OpenAL.
    """
    with _engine(game_map, size, seed, lists_objects=False) as engine:
        yield Game(engine)


@contextlib.contextmanager
def _engine(
    game_map: GameMap, size: tuple[int, int], seed: int, *, lists_objects: bool
) -> Iterator[Any]:
    folder = require("vizdoom")
    import vizdoom

    with reaper.own_folder() as scratch:
        engine = vizdoom.DoomGame()
        engine.set_vizdoom_path(str(supervised(folder / "vizdoom", Path(scratch))))
        engine.set_doom_game_path(str(folder / game_map.wad))
        engine.set_doom_config_path(str(Path(scratch, "engine.ini")))
        engine.set_doom_map(game_map.name)
        _set_outputs(engine, vizdoom, size)
        engine.set_objects_info_enabled(lists_objects)
        engine.set_seed(seed)
        engine.set_doom_skill(4)
        engine.set_mode(vizdoom.Mode.PLAYER)
        engine.set_episode_timeout(0)
        engine.set_episode_start_time(_EPISODE_START)
        # Some builds of OpenAL abort on the engine's reverb. Music is rendered apart. Full red over
        # the frame while the player is hurt would hide everything else.
        engine.add_game_args("+snd_efx 0 +snd_musicvolume 0 +blood_fade_scalar 0.25")
        try:
            engine.init()
            yield engine
        except vizdoom.ViZDoomErrorException as error:
            raise InputError(f"freedoom: the engine failed on {game_map.name}: {error}") from error
        finally:
            engine.close()


def _set_outputs(engine: Any, vizdoom: Any, size: tuple[int, int]) -> None:
    width, height = size
    engine.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{width}X{height}"))
    engine.set_screen_format(vizdoom.ScreenFormat.RGB24)
    engine.set_window_visible(False)
    engine.set_render_hud(False)
    engine.set_labels_buffer_enabled(True)
    engine.set_sound_enabled(True)
    engine.set_audio_buffer_enabled(True)
    engine.set_audio_sampling_rate(vizdoom.SamplingRate.SR_22050)
    engine.set_audio_buffer_size(1)
    engine.set_available_game_variables([getattr(vizdoom.GameVariable, n) for n in _VARIABLES])
    buttons = ["ATTACK", "USE", "MOVE_FORWARD", "TURN_LEFT_RIGHT_DELTA"]
    buttons += [f"SELECT_WEAPON{key}" for key in WEAPONS]
    engine.set_available_buttons([getattr(vizdoom.Button, name) for name in buttons])


def to_mono(audio_tics: list[npt.NDArray[np.int16]]) -> FloatArray:
    """Tics of stereo int16 -> `(samples,)` float32 in [-1, 1]."""
    stereo = np.concatenate(audio_tics).astype(np.float32) / 32768
    return np.asarray(stereo.mean(axis=1), np.float32)
