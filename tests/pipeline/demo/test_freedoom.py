"""Movies of a game that a bot plays: the same again, in sync, and labeled by the engine."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pipeline.demo.drawing.figures import ByteArray
from pipeline.demo.freedoom import FreedoomConfig, make_freedoom
from pipeline.demo.freedoom.config import TIC_RATE_HZ
from pipeline.demo.freedoom.explorer import Explorer
from pipeline.demo.freedoom.game import SAMPLE_RATE_HZ, Action, View, Visible, play
from pipeline.demo.freedoom.maps import all_maps, lump
from pipeline.demo.freedoom.music import render_music
from pipeline.demo.freedoom.recording import Session, play_session
from pipeline.demo.freedoom.truth import EVENT_TICS, Stretch, Truth
from shards_spec.errors import InputError

WITHOUT = [
    name
    for name in ("vizdoom", "midirenderer", "pretty_midi")
    if importlib.util.find_spec(name) is None
]
needs_engine = pytest.mark.skipif(bool(WITHOUT), reason=f"not installed: {', '.join(WITHOUT)}")
SHORT = FreedoomConfig(movies=1, seconds=4.0, frame="160x120", seed=3)


def _session(config: FreedoomConfig) -> tuple[Session, list[bytes]]:
    frames: list[bytes] = []
    return play_session(all_maps()[0], config, frames.append), frames


def _need_sound(session: Session) -> None:
    if not session.effects.any():
        pytest.skip("the engine is silent: no OpenAL on this machine")


@needs_engine
def test_the_same_seed_gives_the_same_movie() -> None:
    first, frames = _session(SHORT)
    again, frames_again = _session(SHORT)
    assert frames == frames_again
    assert len(frames) == 70
    assert np.array_equal(first.effects, again.effects)
    assert (first.seen, first.heard) == (again.seen, again.heard)
    other, frames_other = _session(FreedoomConfig(movies=1, seconds=4.0, frame="160x120", seed=4))
    assert frames_other != frames
    assert len(other.effects) == len(first.effects) == 4 * SAMPLE_RATE_HZ


@needs_engine
@pytest.mark.parametrize(("number", "weapon"), [(0, 2), (40, 3), (20, 4)])
def test_a_shot_is_seen_and_heard_in_the_same_tic(number: int, weapon: int) -> None:
    ammo, loudness, change = [], [], []
    last: ByteArray | None = None
    with play(all_maps()[number], (160, 120), 1) as game:
        for tic in range(75):
            view = game.view()
            ammo.append(view.variables["SELECTED_WEAPON_AMMO"])
            loudness.append(float(np.abs(view.audio.astype(np.float64)).mean()))
            frame = view.frame[40:].astype(np.float64)
            change.append(0.0 if last is None else float(np.abs(frame - last).mean()))
            last = frame
            game.step(Action(attack=tic == 60, weapon=weapon if tic == 5 else 0))
    if not any(loudness):
        pytest.skip("the engine is silent: no OpenAL on this machine")
    shot = next(t for t in range(61, 75) if ammo[t] < ammo[t - 1])
    assert loudness[shot] > 10 * max(*loudness[shot - 3 : shot], 10.0)
    assert change[shot] > 3 * max(*change[shot - 3 : shot - 1], 0.1)


@needs_engine
@pytest.mark.slow
def test_movies_and_tables_of_a_folder(tmp_path: Path) -> None:
    session, _ = _session(SHORT)
    _need_sound(session)
    config = FreedoomConfig(movies=2, seconds=4.0, frame="160x120", seed=3)
    made: list[str] = []
    paths = make_freedoom(tmp_path, config, on_movie=made.append, num_workers=1)
    assert made == [path.name for path in paths] == ["freedoom1-e1m1.mp4", "freedoom1-e1m2.mp4"]
    for table in ("seen", "heard"):
        rows = list(csv.DictReader((tmp_path / f"{table}.csv").read_text().splitlines()))
        assert {row["source"] for row in rows} <= set(made)
        for row in rows:
            assert 0 <= float(row["start_seconds"]) < float(row["end_seconds"]) <= 4.0
    before = [path.read_bytes() for path in paths]
    make_freedoom(tmp_path, config, num_workers=1)
    paths[1].unlink()
    make_freedoom(tmp_path, config, num_workers=1)
    assert [path.read_bytes() for path in paths] == before, "a lost movie is made again"
    with pytest.raises(InputError, match="other settings"):
        make_freedoom(tmp_path, FreedoomConfig(movies=2, seconds=5.0), num_workers=1)


@needs_engine
@pytest.mark.slow
def test_music_has_the_level_and_repeats() -> None:
    game_map = all_maps()[0]
    assert lump(game_map.wad, game_map.music)[:4] == b"MThd"
    music = render_music(game_map, SAMPLE_RATE_HZ * 4, SAMPLE_RATE_HZ, -30.0)
    assert 20 * np.log10(np.sqrt(np.mean(music.astype(np.float64) ** 2))) == pytest.approx(
        -30, abs=0.01
    )


def test_every_map_is_one_movie_with_its_own_music() -> None:
    maps = all_maps()
    assert len({one.movie for one in maps}) == len({(m.wad, m.music) for m in maps}) == 68


def _view(**variables: float) -> View:
    names = ("HEALTH", "ARMOR", "KILLCOUNT", "HITCOUNT", "HITS_TAKEN", "ITEMCOUNT")
    values = dict.fromkeys(names, 0.0)
    values |= {"SELECTED_WEAPON": 2.0, "SELECTED_WEAPON_AMMO": 50.0}
    values |= {"POSITION_X": 0.0, "POSITION_Y": 0.0, **variables}
    return View(np.zeros((2, 2, 3), np.uint8), np.zeros((630, 2), np.int16), (), values)


def test_events_and_sights_become_stretches() -> None:
    truth = Truth()
    imp = Visible(7, "DoomImp", "Monster", 0.0, 0.1)
    far = Visible(8, "Demon", "Monster", 0.0, 0.0001)
    for tic in range(100):
        view = _view(SELECTED_WEAPON_AMMO=50.0 - (tic >= 30), KILLCOUNT=float(tic >= 40))
        visible = (imp, far) if 10 <= tic < 20 or 25 <= tic < 30 or tic >= 60 else ()
        truth.add(View(view.frame, view.audio, visible, view.variables), is_cut=tic == 0)
    assert truth.heard() == [
        Stretch(30, 30 + EVENT_TICS, "shot: pistol"),
        Stretch(40, 40 + EVENT_TICS, "kill"),
    ]
    assert [one for one in truth.seen() if one.label == "DoomImp"] == [
        Stretch(10, 30, "DoomImp"),
        Stretch(60, 100, "DoomImp"),
    ]
    assert {one.label for one in truth.seen()} == {"DoomImp", "hand: pistol"}


def test_what_a_cut_gives_the_player_is_not_heard() -> None:
    truth = Truth()
    for tic in range(20):
        health = 20.0 if tic < 10 else 100.0
        truth.add(_view(HEALTH=health), is_cut=tic == 9)
    assert truth.heard() == []


def test_the_bot_turns_to_a_monster_and_shoots() -> None:
    bot = Explorer("a", [])
    bot.act(_view())
    view = _view()
    aside = Visible(1, "DoomImp", "Monster", 0.5, 0.05)
    action, is_cut = bot.act(View(view.frame, view.audio, (aside,), view.variables))
    assert (action.attack, is_cut) == (False, False)
    assert action.turn_degrees > 0
    ahead = Visible(1, "DoomImp", "Monster", 0.0, 0.05)
    action, _ = bot.act(View(view.frame, view.audio, (ahead,), view.variables))
    assert action.attack


@pytest.mark.parametrize(
    "values", [{"movies": 0}, {"movies": 69}, {"seconds": float("nan")}, {"music_dbfs": 3.0}]
)
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be in"):
        FreedoomConfig(**values)  # type: ignore[arg-type]


def test_tics_divide_a_second_exactly() -> None:
    assert SAMPLE_RATE_HZ % TIC_RATE_HZ == 0
