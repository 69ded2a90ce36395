"""Where redirects of web servers may lead, and how they end."""

from __future__ import annotations

import pytest

from shards_spec.errors import (
    AccessDeniedError,
    StorageError,
)
from shards_spec.storage import Storage
from shards_spec.storage.web import connection
from tests.support.stores.web_server import DATA, Handler, parts


def test_a_redirect_on_the_same_host_is_followed(serve):
    def answer(handler: Handler) -> None:
        if handler.path.startswith("/new"):
            handler.reply_part()
        else:
            handler.reply(302, Location=f"/new{handler.path}")

    storage = Storage(serve(answer).url)
    assert storage.head("a").size == len(DATA)
    assert storage.get("a") == DATA
    assert bytes(storage.get_range("a", 7, 70)) == DATA[7:77]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0"])
def test_a_redirect_to_another_server_is_refused(serve, status, host, tmp_path):
    secret = serve(lambda handler: handler.reply(200, b"secret"))
    away = f"http://{host}:{secret.server_port}/latest/meta-data"
    server = serve(lambda handler: handler.reply(status, Location=away))
    storage = Storage(server.url)
    for read in (
        lambda: storage.head("a.mp4"),
        lambda: storage.get("a.mp4"),
        lambda: storage.get_range("a.mp4", 0, 6),
        lambda: b"".join(storage.stream_range("a.mp4?x=1", 0, 6)),
        lambda: storage.download("a.mp4", tmp_path / "a"),
        lambda: storage.exists("a.mp4"),
    ):
        with pytest.raises(AccessDeniedError, match="leads to another host"):
            read()
    assert secret.paths == []


def test_redirects_to_other_hosts_can_be_allowed(serve, monkeypatch):
    other = serve(parts)
    headers: list[str | None] = []

    def noted(handler: Handler) -> None:
        headers.append(handler.headers["Authorization"])
        handler.reply_part()

    other.answer = noted
    away = f"http://localhost:{other.server_port}/a"
    server = serve(lambda handler: handler.reply(302, Location=away))
    storage = Storage(server.url.replace("http://", "http://me:word@"))
    # All public hosts: this one is not.
    monkeypatch.setenv("REELSHARDS_REDIRECT_HOSTS", "*")
    with pytest.raises(AccessDeniedError, match="not a public address"):
        storage.get("a")
    monkeypatch.setenv("REELSHARDS_REDIRECT_HOSTS", "cdn.example.org, local*")
    assert storage.get("a") == DATA
    # The login is for the first host only.
    assert headers == [None]


def test_redirects_that_never_end_are_an_error(serve):
    server = serve(lambda handler: handler.reply(302, Location=f"{handler.path}x"))
    with pytest.raises(StorageError, match="more than 5 redirects"):
        Storage(server.url).get("a")
    assert len(server.paths) == 6


@pytest.mark.parametrize(
    ("current", "target", "problem"),
    [
        ("https://h/a", "http://h/a", "from https to http"),
        ("http://h/a", "https://h/b", ""),
        ("http://h:80/a", "http://H/b", ""),
        ("http://h/a", "http://h:8080/b", "another host"),
        ("http://h/a", "http://h.evil.org/b", "another host"),
        ("http://h/a", "http://h@evil.org/b", "another host"),
        ("http://h/a", "http://169.254.169.254/latest", "another host"),
        ("http://h/a", "file:///etc/passwd", "not a web address"),
        ("http://h/a", "gopher://h/x", "not a web address"),
    ],
)
def test_where_a_redirect_may_lead(current: str, target: str, problem: str) -> None:
    start = connection.WebAddress.of(current)
    if problem:
        with pytest.raises(connection.RedirectRefusedError, match=problem):
            connection.redirected(start, start, target)
    else:
        assert connection.redirected(start, start, target).host == "h"


@pytest.mark.parametrize(
    "number", ["169.254.169.254", "169.254.170.2", "fe80::1", "fd00:ec2::254", "::ffff:169.254.1.1"]
)
def test_a_name_never_leads_to_a_metadata_service(number: str, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (number, 80))])
    with pytest.raises(AccessDeniedError, match="not a public address"):
        Storage("http://innocent.example", max_retries=0).get("a")
