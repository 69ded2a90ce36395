"""Movies of a game that other people made: a bot plays each map of Freedoom.

    maps       which maps there are, and which music belongs to each
    game       the engine: one tic at a time, deterministic
    supervisor ends the engine when the process that controls it is gone
    explorer   what the bot does
    truth      what is seen and heard, from the engine's own state
    music      a map's own notes, rendered with a soundfont
    recording  one movie
    library    a folder of movies with their labels

Textures, light and music are those of each map's authors; monsters, weapons and items come back in
all maps. Needs the extra `freedoom`. `make_freedoom` is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.demo.freedoom.config import FreedoomConfig

if TYPE_CHECKING:
    from pipeline.demo.freedoom.library import make_freedoom

__all__ = ["FreedoomConfig", "make_freedoom"]


def __getattr__(name: str) -> Any:
    if name != "make_freedoom":
        raise AttributeError(f"module 'pipeline.demo.freedoom' has no attribute {name!r}")
    from pipeline.demo.freedoom.library import make_freedoom

    return make_freedoom
