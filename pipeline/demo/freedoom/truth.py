"""What is seen and heard at each time, from the engine's own state.

Seen: kinds of monsters, groups of other objects, and the weapon in hand, for as long as they are in
the frame. Heard: events that make a sound in the game, for half a second from their tic: shots by
weapon, damage that the player takes, hits on monsters, kills, and items picked up. Doors and
monsters out of sight also sound; the engine does not report these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.demo.freedoom.config import TIC_RATE_HZ
from pipeline.demo.freedoom.game import WEAPONS, View

#: Smallest bounding box of something that is seen, as a share of the frame.
MIN_AREA = 0.003

#: Sights of one kind with a gap of up to so many tics are one.
_MAX_GAP_TICS = 7

#: How long an event is heard.
EVENT_TICS = TIC_RATE_HZ // 2

#: After a cut, health and ammunition change without a sound.
_CUT_TICS = 4

_UNSEEN = ("Self", "Unknown", "")

#: Event by the variable that grows with it.
_GROWING = {
    "KILLCOUNT": "kill",
    "HITCOUNT": "hit",
    "HITS_TAKEN": "pain",
    "ITEMCOUNT": "pickup",
    "ARMOR": "pickup",
    "HEALTH": "pickup",
}


@dataclass(frozen=True, order=True)
class Stretch:
    """A label from one tic to another, exclusive."""

    start: int
    stop: int
    label: str


class Truth:
    """Collects labels from views, tic by tic."""

    def __init__(self) -> None:
        self._seen: dict[str, list[int]] = {}
        self._heard: dict[str, list[int]] = {}
        self._last: dict[str, float] | None = None
        self._tic = 0
        self._cut = -_CUT_TICS

    def add(self, view: View, *, is_cut: bool) -> None:
        """The next tic; `is_cut` if the player was moved since the last one."""
        if is_cut:
            self._cut = self._tic
        for label in seen_in(view):
            self._seen.setdefault(label, []).append(self._tic)
        if self._last is not None and self._tic >= self._cut + _CUT_TICS:
            for label in heard_between(self._last, view.variables):
                self._heard.setdefault(label, []).append(self._tic)
        self._last = view.variables
        self._tic += 1

    def seen(self) -> list[Stretch]:
        """Sorted by time."""
        return sorted(
            Stretch(start, min(stop, self._tic), label)
            for label, tics in self._seen.items()
            for start, stop in _joined(tics, 1, _MAX_GAP_TICS)
        )

    def heard(self) -> list[Stretch]:
        """Sorted by time."""
        return sorted(
            Stretch(start, min(stop, self._tic), label)
            for label, tics in self._heard.items()
            for start, stop in _joined(tics, EVENT_TICS, 0)
        )


def seen_in(view: View) -> set[str]:
    """The labels of one frame."""
    labels = {
        one.name if one.category == "Monster" else one.category.lower()
        for one in view.visible
        if one.area >= MIN_AREA and one.category not in _UNSEEN
    }
    weapon = WEAPONS.get(int(view.variables["SELECTED_WEAPON"]))
    return labels | ({f"hand: {weapon}"} if weapon else set())


def heard_between(before: dict[str, float], after: dict[str, float]) -> set[str]:
    """The events of one tic."""
    events = {label for name, label in _GROWING.items() if after[name] > before[name]}
    weapon = WEAPONS.get(int(after["SELECTED_WEAPON"]))
    is_same = before["SELECTED_WEAPON"] == after["SELECTED_WEAPON"]
    if weapon and is_same and after["SELECTED_WEAPON_AMMO"] < before["SELECTED_WEAPON_AMMO"]:
        events.add(f"shot: {weapon}")
    return events


def _joined(tics: list[int], length: int, max_gap: int) -> Iterator[tuple[int, int]]:
    """Ranges of `length` from each tic, those that touch or nearly touch as one."""
    start, stop = tics[0], tics[0] + length
    for tic in itertools.islice(tics, 1, None):
        if tic > stop + max_gap:
            yield start, stop
            start = tic
        stop = tic + length
    yield start, stop
