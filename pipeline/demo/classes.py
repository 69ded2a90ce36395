"""The catalog of semantic classes, shared by all movies.

A class is a figure with a place, a motion and a voice. `figures`, `places`, `motion` and `voices`
each have one function per class, under the class's name; none of them knows about movies.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SemanticClass:
    """One concept that any movie may show."""

    name: str
    """The label in `labels.csv`, and the key of its figure, place, motion and voice."""
    beats_per_second: float
    """Typical rate of its events, Hz. A shot scales it; motion and rhythm follow together."""
    pitch_hz: float
    """Typical pitch of its voice, Hz. A shot's size scales it: the larger, the lower."""


CLASSES: tuple[SemanticClass, ...] = (
    SemanticClass("ball", 1.1, 880.0),
    SemanticClass("star", 0.9, 1400.0),
    SemanticClass("engine", 1.8, 110.0),
    SemanticClass("bird", 1.3, 2300.0),
    SemanticClass("ghost", 0.7, 480.0),
    SemanticClass("heart", 1.0, 95.0),
    SemanticClass("fish", 0.8, 520.0),
    SemanticClass("robot", 1.5, 620.0),
    SemanticClass("flower", 1.2, 330.0),
    SemanticClass("moon", 1.4, 1150.0),
    SemanticClass("kite", 0.9, 1000.0),
    SemanticClass("cloud", 0.6, 1500.0),
)

BLACK_LABEL = "black"
"""Label of a shot that shows nothing."""
