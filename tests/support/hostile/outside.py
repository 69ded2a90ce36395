"""Notices when files of a folder are opened, by whatever process, with the kernel's inotify."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from types import TracebackType

_IN_OPEN, _EVENT = 0x20, struct.Struct("iIII")


class OpenedFiles:
    """A context manager; `names` are the files and folders below `folder` opened since."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, Path] = {}
        for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            number = self._libc.inotify_add_watch(self._handle, bytes(path), _IN_OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
            self._folders[number] = path

    def names(self) -> list[str]:
        """What was opened since the last call."""
        found: list[str] = []
        while True:
            try:
                data = os.read(self._handle, 65_536)
            except BlockingIOError:
                return sorted(set(found))
            while data:
                number, _, _, length = _EVENT.unpack_from(data)
                name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
                found.append(str(self._folders[number] / name))
                data = data[_EVENT.size + length :]

    def __enter__(self) -> OpenedFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)
