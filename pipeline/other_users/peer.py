"""Who is at the other end of a loopback connection: only processes of the same user are served.

Linux lists the sockets of all users, each with its owner. One that connects to 127.0.0.1 is in the
table of IPv4 sockets, or in that of IPv6 sockets with the address ::ffff:127.0.0.1. A connection
that is in neither is refused. Other systems have no such tables; there, any user who knows the
secret path is served.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from pipeline.errors import SourceError

#: Each with the address family of its entries.
_TABLES = {
    Path("/proc/self/net/tcp"): socket.AF_INET,
    Path("/proc/self/net/tcp6"): socket.AF_INET6,
}


def require_peers_known(name: str) -> None:
    """Raise `SourceError` where the owners of connections cannot be looked up although they exist.

    `name` is that of the movie.
    """
    if sys.platform == "linux" and not any(os.access(table, os.R_OK) for table in _TABLES):
        raise SourceError(
            f"{name}: reading by range needs {' or '.join(map(str, _TABLES))}, to refuse other "
            "users of this machine; use --sources staged"
        )


def is_same_user(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Whether the client of an open connection, two (IPv4 address, port), is of this user."""
    return sys.platform != "linux" or _owner(client, server) == os.getuid()


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """User id of the process at the client's end; None if it is not listed."""
    for table, family in _TABLES.items():
        ends = [_as_listed(*client, family), _as_listed(*server, family)]
        try:
            lines = table.read_text().splitlines()
        except OSError:
            continue
        # 0: 0100007F:A1B2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000 ...
        for fields in map(str.split, lines):
            if fields[1:3] == ends:
                return int(fields[7])
    return None


def _as_listed(host: str, port: int, family: socket.AddressFamily) -> str:
    """An IPv4 address and port as the table of a family lists them: words in the host's order."""
    mapped = host if family == socket.AF_INET else f"::ffff:{host}"
    packed = socket.inet_pton(family, mapped)
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{port:04X}"
