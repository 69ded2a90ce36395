"""Objects of a dataset in a folder replaced by irregular files, or by files elsewhere."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

#: Path and random numbers -> what was done.
Replace = Callable[[Path, Path, random.Random], str]


def replace_object(folder: Path, outside: Path, rng: random.Random) -> str:
    """Replace an object or a folder of the dataset; `outside` is another, whole dataset."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    folders = sorted(path for path in folder.rglob("*") if path.is_dir())
    path = rng.choice(files if rng.random() < 0.6 else folders)
    if rng.random() < 0.2:
        # Something more, instead of something else.
        path = path.parent / rng.choice(
            [
                "more",
                "more.tar",
                "a\nb.tar",
                "\x1b[2J.tar",
                os.fsdecode(b"\xff\xfe.tar"),
                ".x",
                "x#1",
            ]
        )
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    name = path.relative_to(folder)
    try:
        return f"{name}: {rng.choice(WAYS)(path, outside / name, rng)}"
    except OSError as error:
        return f"{name}: gone ({error.strerror})"


def _pipe(path: Path, twin: Path, rng: random.Random) -> str:
    os.mkfifo(path)
    return "pipe"


def _socket(path: Path, twin: Path, rng: random.Random) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            # The address of a socket has at most 108 bytes.
            server.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
    return "socket"


def _device(path: Path, twin: Path, rng: random.Random) -> str:
    target = rng.choice(["/dev/zero", "/dev/full", "/dev/random", "/dev/null", "/proc/self/mem"])
    path.symlink_to(target)
    return f"link to {target}"


def _folder(path: Path, twin: Path, rng: random.Random) -> str:
    (path / "inside").mkdir(parents=True)
    return "folder"


def _empty(path: Path, twin: Path, rng: random.Random) -> str:
    path.write_bytes(b"")
    return "empty"


def _endless(path: Path, twin: Path, rng: random.Random) -> str:
    path.write_bytes(twin.read_bytes() if twin.is_file() and rng.random() < 0.5 else b"")
    os.truncate(path, rng.choice([2**32, 2**40]))
    return "sparse file"


def _outside(path: Path, twin: Path, rng: random.Random) -> str:
    path.symlink_to(twin)
    return "link to the same object of another dataset"


def _secret(path: Path, twin: Path, rng: random.Random) -> str:
    root = twin
    while not (root / "secret.txt").exists():
        root = root.parent
    targets = [str(root / "secret.txt"), str(root), "/", "..", ".", "/etc", "/proc"]
    target = rng.choice(targets)
    path.symlink_to(target)
    return "link to another file or folder"


def _loop(path: Path, twin: Path, rng: random.Random) -> str:
    path.symlink_to(rng.choice([path.name, "missing", "../" * 60 + "missing"]))
    return "link to itself or to nothing"


def _missing(path: Path, twin: Path, rng: random.Random) -> str:
    return "missing"


WAYS: tuple[Replace, ...] = (
    *(_pipe, _socket, _device, _device, _folder, _empty, _endless),
    *(_outside, _outside, _secret, _secret, _loop, _missing),
)
