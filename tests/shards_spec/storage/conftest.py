"""Web servers for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.stores.web_server import Handler, Server


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Handler], None]], Server]]:
    """Starts servers."""
    servers: list[Server] = []

    def start(answer: Callable[[Handler], None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
