"""The bot: it walks, turns at walls, opens doors and shoots at monsters that it sees.

Every few seconds it continues elsewhere on the map, with another weapon, like a cut in a movie:
a bot without a plan would otherwise spend the movie in the first rooms.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from pipeline.demo.freedoom.config import TIC_RATE_HZ
from pipeline.demo.freedoom.game import WEAPONS, Action, Place, View, Visible

#: Tics between two cuts.
SHOT_TICS = (5 * TIC_RATE_HZ, 12 * TIC_RATE_HZ)

#: Objects next to which a shot may begin: the game's authors put them where players get to.
_STARTS = ("Monster", "Health", "Armor", "Ammo", "Weapon", "Key", "Powerup")

#: A target is left alone after so many tics, because dead monsters are still in sight.
_MAX_AIM_TICS = 60
_MAX_TURN_DEGREES = 7.0
_HALF_VIEW_DEGREES = 45.0

#: Smallest area of a monster that is shot at, as a share of the frame.
_MIN_TARGET_AREA = 0.002

#: Distance in the map's units below which the bot has not moved in `_STUCK_TICS`.
_STUCK_DISTANCE = 24.0
_STUCK_TICS = 10


class Explorer:
    """Decides from tic to tic; the same seed, places and views give the same actions."""

    def __init__(self, seed: str, places: Sequence[Place]) -> None:
        self._places = [place for place in places if place.category in _STARTS]
        self._random = random.Random(seed)
        self._next_cut = 1
        self._aimed_at: dict[int, int] = {}
        self._turn_left = 0.0
        self._anchor = (0.0, 0.0)
        self._tic = 0

    def act(self, view: View) -> tuple[Action, bool]:
        """The next action, and whether it is a cut."""
        self._tic += 1
        if self._tic >= self._next_cut:
            self._next_cut = self._tic + self._random.randint(*SHOT_TICS)
            return self._cut(), True
        target = self._target(view)
        if target is not None:
            return self._shoot(target), False
        return self._walk(view), False

    def _cut(self) -> Action:
        self._turn_left = 0.0
        self._aimed_at.clear()
        offset = 64.0 * self._random.choice((-1, 1))
        warp = None
        if self._places:
            place = self._random.choice(self._places)
            warp = (place.x + offset, place.y)
        return Action(
            turn_degrees=self._random.uniform(-180, 180),
            weapon=self._random.choice(list(WEAPONS)),
            warp=warp,
        )

    def _target(self, view: View) -> Visible | None:
        monsters = [
            one
            for one in view.visible
            if one.category == "Monster"
            and one.area >= _MIN_TARGET_AREA
            and self._aimed_at.get(one.number, 0) < _MAX_AIM_TICS
        ]
        return max(monsters, key=lambda one: (one.area, one.number), default=None)

    def _shoot(self, target: Visible) -> Action:
        self._aimed_at[target.number] = self._aimed_at.get(target.number, 0) + 1
        degrees = target.center * _HALF_VIEW_DEGREES
        turn = max(-_MAX_TURN_DEGREES, min(_MAX_TURN_DEGREES, degrees))
        return Action(attack=abs(degrees) < 5, forward=target.area < 0.02, turn_degrees=turn)

    def _walk(self, view: View) -> Action:
        use = False
        if self._tic % _STUCK_TICS == 0:
            x, y = view.variables["POSITION_X"], view.variables["POSITION_Y"]
            moved = abs(x - self._anchor[0]) + abs(y - self._anchor[1])
            self._anchor = (x, y)
            if moved < _STUCK_DISTANCE:
                # Perhaps a door, perhaps a wall: use it once, then turn away.
                use = True
                self._turn_left = self._random.choice((-1, 1)) * self._random.uniform(40, 150)
        turn = max(-_MAX_TURN_DEGREES, min(_MAX_TURN_DEGREES, self._turn_left))
        self._turn_left -= turn
        sway = self._random.uniform(-1.5, 1.5)
        return Action(use=use, forward=True, turn_degrees=turn + sway)
