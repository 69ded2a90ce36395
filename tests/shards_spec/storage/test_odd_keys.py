"""Keys that cannot be read never hide those that can: in buckets, folders, corpora and datasets."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from pipeline.errors import MovieError
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_corpus
from shards_spec.errors import InputError, StorageError
from shards_spec.storage import Storage, s3_listing
from shards_spec.storage.odd_keys import is_odd

ODD = (
    *("a//b.mp4", "films//", "./x.mp4", "../x.mp4", "a/./b.mp4", "a/../b.mp4", "a/..", "x/."),
    *("c\x01d.mp4", "tab\tx.mp4", "esc\x1b[31m.mp4", "del\x7f.mp4", "bell\a/x.mp4"),
)
PLAIN = ("good.mp4", "sub/é.mp4", "100%.mp4", "a b.mp4", "...mp4", "a/..b/c.mp4", "[x]*?.mp4")


@pytest.fixture
def s3_client(s3_bucket: str, s3_endpoint: str) -> Any:
    """Writes any key, unlike obstore."""
    import boto3

    return boto3.client("s3", endpoint_url=s3_endpoint)


@pytest.mark.parametrize("key", ODD)
def test_odd_keys_are_recognized(key: str) -> None:
    assert is_odd(key)


@pytest.mark.parametrize("key", PLAIN)
def test_plain_keys_are_not_odd(key: str) -> None:
    assert not is_odd(key)


def test_a_bucket_with_odd_keys_is_listed_without_them(s3_bucket: str, s3_client: Any) -> None:
    bucket = s3_bucket.removeprefix("s3://")
    for key in (*ODD, *PLAIN):
        s3_client.put_object(Bucket=bucket, Key=f"corpus/{key}", Body=b"x")
    s3_client.put_object(Bucket=bucket, Key="corpora/other.mp4", Body=b"x")
    odd: list[str] = []
    storage = Storage(f"{s3_bucket}/corpus")
    assert {info.key for info in storage.list(on_odd=odd.append)} == set(PLAIN)
    assert set(odd) == set(ODD)
    assert [info.key for info in storage.list("sub")] == ["sub/é.mp4"]
    # As obstore describes them.
    for info in storage.list():
        assert info == storage.head(info.key)
        assert storage.get(info.key) == b"x"
    assert len(list(Storage(s3_bucket).list())) == len(PLAIN) + 1


def test_a_corpus_with_odd_keys_says_which_it_leaves_out(s3_bucket: str, s3_client: Any) -> None:
    bucket = s3_bucket.removeprefix("s3://")
    for key in ("good.mp4", "a//b.mp4", "esc\x1b[31m.mp4", "folder.mp4/"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"x")
    corpus = find_corpus(s3_bucket)
    assert [movie.movie_id for movie in corpus.movies] == ["good"]
    ((named, count),) = corpus.passed_over
    assert count == 3
    for shown in ("'a//b.mp4'", r"'esc\x1b[31m.mp4'", "'folder.mp4/'"):
        assert shown in named


@pytest.mark.parametrize("key", ["a//b.mp4", "a/./b.mp4", "x/../a/b.mp4", "/a/b.mp4"])
def test_a_manifest_never_reads_another_object_instead(
    s3_bucket: str, tmp_path: Path, key: str
) -> None:
    Storage(s3_bucket).put("a/b.mp4", b"another")
    manifest = tmp_path / "corpus.csv"
    manifest.write_text(f"uri,movie_id\n{s3_bucket}/{key},odd\n{s3_bucket}/a/b.mp4,plain\n")
    odd, plain = find_corpus(str(manifest)).movies
    assert (odd.movie_id, odd.num_bytes) == ("odd", -1)
    assert (plain.movie_id, plain.num_bytes) == ("plain", 7)
    with pytest.raises(MovieError, match="cannot be read"), open_source(odd, "f"):
        pass


@pytest.mark.parametrize("twin", ["a.mp4/", "/a.mp4"])
def test_a_key_that_only_looks_like_another_hides_nothing(
    s3_bucket: str, s3_client: Any, twin: str
) -> None:
    bucket = s3_bucket.removeprefix("s3://")
    for key, data in {"a.mp4": b"movie", twin: b"", "b.mp4": b"x"}.items():
        s3_client.put_object(Bucket=bucket, Key=key, Body=data)
    corpus = find_corpus(s3_bucket)
    assert [(movie.movie_id, movie.num_bytes) for movie in corpus.movies] == [("a", 5), ("b", 1)]
    assert [count for _, count in corpus.passed_over] == [1]


def test_a_corpus_of_odd_keys_alone_is_refused_with_their_names(
    s3_bucket: str, s3_client: Any
) -> None:
    bucket = s3_bucket.removeprefix("s3://")
    s3_client.put_object(Bucket=bucket, Key="../a.mp4", Body=b"x")
    with pytest.raises(InputError, match=r"cannot be read \('\.\./a\.mp4'\) 1"):
        find_corpus(s3_bucket)


@pytest.mark.parametrize("name", [b"\xff.tar", b"a\x01.tar", b"a\n.tar", b"\xe9t\xe9/x.tar"])
def test_a_folder_with_odd_names_is_listed_without_them(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for file in (path, os.fsencode(tmp_path / "b.tar"), os.fsencode(tmp_path / "b.tar#1")):
        try:
            Path(os.fsdecode(file)).write_bytes(b"x")
        except OSError:
            pytest.skip("the file system refuses such names")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.tar").write_bytes(b"xy")
    odd: list[str] = []
    storage = Storage(str(tmp_path))
    listed = list(storage.list(on_odd=odd.append))
    assert [(info.key, info.size) for info in listed] == [("b.tar", 1), ("sub/c.tar", 2)]
    assert [os.fsencode(key) for key in odd] == [name]
    assert listed[0] == storage.head("b.tar")


class _Pages(http.server.BaseHTTPRequestHandler):
    """An S3 server with one key a page, the second of which is odd."""

    body = ""
    """What it answers after the page with the odd key."""
    is_odd_page_sent = False
    keys = ("a.mp4", "b//c.mp4", "d.mp4", "e.mp4")

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        number = int(query.get("continuation-token", ["0"])[0])
        more = number + 1 < len(self.keys)
        text = (self.body if type(self).is_odd_page_sent else "") or (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            f"<NextContinuationToken>{number + 1}</NextContinuationToken>"
            f"<Contents><Key>{quote(self.keys[number])}</Key><Size>7</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
        )
        type(self).is_odd_page_sent |= "//" in self.keys[number]
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Pages]]:
    """The bucket `s3://b` on such a server."""
    handler: type[_Pages] = type("Handler", (_Pages,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name, text in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, text)
        yield handler
        server.shutdown()


def test_requests_are_signed_as_another_implementation_signs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auth = pytest.importorskip("botocore.auth")
    request_type = pytest.importorskip("botocore.awsrequest").AWSRequest
    credentials = pytest.importorskip("botocore.credentials").Credentials
    secrets = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "to/ken+=")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    for name, text in zip(names, secrets, strict=True):
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    sent: list[tuple[str, dict[str, str]]] = []

    class Connection:
        def request(self, _: str, target: str, headers: dict[str, str]) -> None:
            sent.append((target, headers))
            raise ConnectionError("enough")

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(s3_listing, "open_connection", lambda _: Connection())
    with pytest.raises(ConnectionError):
        list(s3_listing.raw_listing("s3://b/a b", "é~+", "http://127.0.0.1:8333"))
    ((target, headers),) = sent
    now = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: now, raising=False)
    request = request_type("GET", f"http://127.0.0.1:8333{target}", headers=dict(headers))
    del request.headers["Authorization"], request.headers["host"]
    auth.S3SigV4Auth(credentials(*secrets), "s3", "eu-west-3").add_auth(request)
    assert request.headers["Authorization"] == headers["Authorization"]


def test_all_pages_of_a_bucket_are_listed(pages: type[_Pages]) -> None:
    odd: list[str] = []
    listed = list(Storage("s3://b").list(on_odd=odd.append))
    assert [info.key for info in listed] == ["a.mp4", "d.mp4", "e.mp4"]
    assert odd == ["b//c.mp4"]
    assert {info.size for info in listed} == {7}


@pytest.mark.parametrize(
    "body",
    [
        "<Contents><Key>a//b</Key><Size>x</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"
        "</Contents>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult/>",
    ],
)
def test_a_listing_that_is_not_valid_is_an_error(pages: type[_Pages], body: str) -> None:
    pages.body = body
    with pytest.raises(StorageError, match="could not list s3://b"):
        list(Storage("s3://b", max_retries=0).list())
