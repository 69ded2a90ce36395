"""A dataset with everything that a browser has to show, and a server of it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from shards_spec.dataset.browser import BrowserServer, Site
from shards_spec.dataset.reader import Dataset
from tests.support.datasets.eventful import write_eventful_dataset


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_eventful_dataset(str(tmp_path_factory.mktemp("eventful")))


@pytest.fixture(scope="module")
def site(eventful: Dataset) -> Site:
    return Site(eventful)


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[BrowserServer]:
    with BrowserServer(site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def request_of(
    server: BrowserServer,
) -> Callable[..., tuple[http.client.HTTPResponse, bytes]]:
    """Send a request: (path, method="GET", **headers) -> the response and its body."""

    def send(path: str, method: str = "GET", **headers: str):
        port = urlsplit(server.url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return send
