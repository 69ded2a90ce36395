"""Real movies from Python packages, fetched with pip into a cache folder; never committed.

Big Buck Bunny: (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0; from the
source distribution of moviepy 2.2.1.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

_SDIST = "moviepy-2.2.1.tar.gz"
_SHA256 = "c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1"
_ZIP = "medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"
_FILM = "resources/bbb.mp4"


def big_buck_bunny() -> Path:
    """The complete movie, 596.5 s; skips the test if the package cannot be fetched."""
    cache = Path(os.environ.get("REELSHARDS_FILMS", Path.home() / ".cache" / "reelshards-films"))
    path = cache / "big_buck_bunny.mp4"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
    command += [":all:", "--dest", str(cache), "moviepy==2.2.1"]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    sdist = cache / _SDIST
    if not sdist.exists():
        pytest.skip(f"cannot fetch {_SDIST}: {fetched.stderr.strip()[-200:]}")
    assert hashlib.sha256(sdist.read_bytes()).hexdigest() == _SHA256
    with tarfile.open(sdist) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith(_ZIP))
        member = tar.extractfile(name)
        assert member is not None
        archive = zipfile.ZipFile(io.BytesIO(member.read()))
    (name,) = (name for name in archive.namelist() if name.endswith(_FILM))
    temporary = path.with_suffix(".part")
    temporary.write_bytes(archive.read(name))
    temporary.replace(path)
    sdist.unlink()
    return path
