"""The server answers its user only, with whole pages, and nothing outside of the site."""

from __future__ import annotations

import re

import pytest

from shards_spec.dataset.browser import BrowserServer
from shards_spec.errors import InputError
from shards_spec.layout import shard_key


def root(server: BrowserServer) -> str:
    return f"/{server.token}/"


def test_it_listens_on_loopback_with_a_secret(server: BrowserServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/{server.token}/index.html"
    assert len(server.token) >= 20


@pytest.mark.parametrize(
    ("path", "media_type", "start"),
    [
        ("", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("index.html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("movies.html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("movie/heat/1.html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("movie/broken/1.html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("clip/heat_000004/index.html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("clip/heat_000004/strip.jpg", "image/jpeg", b"\xff\xd8"),
        ("clip/heat_000004/thumb.jpg", "image/jpeg", b"\xff\xd8"),
        ("clip/heat_000004/logmel.png", "image/png", b"\x89PNG"),
        ("clip/heat_000004/audio.wav", "audio/wav", b"RIFF"),
        ("assets/browser.css", "text/css; charset=utf-8", b":root"),
        ("assets/browser.js", "text/javascript; charset=utf-8", b"//"),
        ("assets/icon.svg", "image/svg+xml", b"<svg"),
    ],
)
def test_files(request_of, server, path, media_type, start) -> None:
    response, body = request_of(root(server) + path)
    assert response.status == 200
    assert response.headers["Content-Type"] == media_type
    assert body.startswith(start)
    assert response.headers["Content-Length"] == str(len(body))
    head, nothing = request_of(root(server) + path, "HEAD")
    assert (head.status, nothing) == (200, b"")


def test_headers_forbid_everything_from_elsewhere(request_of, server) -> None:
    for path in (root(server), root(server) + "nothing.html", "/"):
        headers = request_of(path)[0].headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "movie/nobody/1.html",
        "movie/heat/2.html",
        "movie/heat/0.html",
        "movies-2.html",
        "movies-1.html",
        "clip/heat_000002/index.html",
        "clip/heat_000004/audio.flac",
        "clip/heat_000004/row.json",
        "difference.html",
        "difference/heat/1.html",
        "against/index.html",
        "assets/",
        "assets/../site.py",
        "assets/%2e%2e/site.py",
        "assets/..%2fsite.py",
        "..//../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "dataset.json",
        "index/movies.parquet",
        "movie/../../dataset.json",
        "clip/%ff%fe/index.html",
        "movie/heat%00/1.html",
    ],
)
def test_nothing_else_is_found(request_of, server, path) -> None:
    response, body = request_of(root(server) + path)
    assert response.status == 404
    assert b"root:" not in body
    assert b"spec_version" not in body


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "",
     "127.0.0.1@evil.example", "localhost:80:80", "[::1]x", "0.0.0.0", "2130706433"],
)  # fmt: skip
def test_names_of_other_hosts_are_refused(request_of, server, host) -> None:
    response, body = request_of(root(server), Host=host)
    assert response.status == 421
    assert b"<html" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:9"])
def test_loopback_hosts_are_accepted(request_of, server, host) -> None:
    assert request_of(root(server), Host=host)[0].status == 200


def test_without_the_secret_nothing_is_shown(request_of, server) -> None:
    wrong = server.token[:-1] + ("A" if server.token[-1] != "A" else "B")
    paths = ("/", "/index.html", f"/{wrong}/index.html", f"/{server.token[:-1]}/", "/favicon.ico",
             f"/x/{server.token}/index.html", "/%e9/index.html", "//")  # fmt: skip
    for path in paths:
        response, body = request_of(path)
        assert response.status == 403, path
        assert server.token.encode() not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X<b>"])
def test_only_reading_is_possible(request_of, server, method) -> None:
    response, body = request_of(root(server), method)
    assert response.status in (400, 501)
    assert b"<" not in body


def test_parts_of_audio(request_of, server) -> None:
    path = root(server) + "clip/heat_000004/audio.wav"
    whole = request_of(path)[1]
    response, part = request_of(path, Range="bytes=10-19")
    assert (response.status, part) == (206, whole[10:20])
    assert response.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert request_of(path, Range=f"bytes={len(whole) - 3}-")[1] == whole[-3:]
    for odd in ("bytes=5-2", "bytes=-5", "bytes=0-1,4-5", "lines=1-2", f"bytes={10**11}-"):
        assert request_of(path, Range=odd)[1] == whole


def test_a_damaged_clip_is_a_page_that_says_so(request_of, server, site) -> None:
    storage = site.catalog.dataset.storage
    key = shard_key("copy", 0)
    good = storage.get(key)
    row = site.catalog.clip("copy_000003")
    storage.put(key, good[: row.tar_offset + 600] + b"?" + good[row.tar_offset + 601 :])
    try:
        response, body = request_of(root(server) + "clip/copy_000003/strip.jpg")
        assert response.status == 502
        assert b"CRC-32C" in body
        assert request_of(root(server) + "clip/copy_000004/strip.jpg")[0].status == 200
    finally:
        storage.put(key, good)


def test_links_lead_to_pages_that_exist(request_of, server) -> None:
    seen: set[str] = set()
    waiting = ["index.html", "movies.html", "movie/heat/1.html", "movie/dark/1.html"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        response, body = request_of(root(server) + page)
        assert response.status == 200, page
        if not page.endswith(".html"):
            continue
        for target in re.findall(rb'(?:href|src)="([^"#]+)', body):
            parts = page.split("/")[:-1]
            for step in target.decode().split("/"):
                parts = parts[:-1] if step == ".." else [*parts, step]
            waiting.append("/".join(parts))
    assert "clip/heat_000008/logmel.png" in seen
    assert "movie/copy/1.html" in seen


def test_a_port_that_is_taken_is_an_error(server, site) -> None:
    with pytest.raises(InputError, match="cannot listen on port"):
        BrowserServer(site, server.server_address[1])
