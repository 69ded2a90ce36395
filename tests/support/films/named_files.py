"""Files that only have the names of movies, for tests that never open them."""

from __future__ import annotations

import os
from pathlib import Path


def touch(folder: Path, *names: str) -> None:
    """Write files into a folder, each with its name as content."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
