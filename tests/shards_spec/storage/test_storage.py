"""The storage door: local, S3 and web; each failure is one clear error."""

import functools
import http.server
import pickle
import re
import threading
from pathlib import Path

import pytest
import requests

from shards_spec.errors import (
    AccessDeniedError,
    InputError,
    NoCredentialsError,
    NoSpaceError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage.failures import CutShortError, explained
from shards_spec.storage.storage import Storage
from shards_spec.storage.stores import normalize_uri
from tests.support.stores.fault_proxy import FaultProxy

KEYS = ["plain", "a/b c/d.tar", "a/ü #1.tar", "a/50%.x"]


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        return Storage(str(tmp_path / "a folder, ü #% "), create=True)
    return Storage(f"{request.getfixturevalue('s3_bucket')}/some prefix/ü")


@pytest.mark.parametrize("key", KEYS)
def test_round_trip(storage, key):
    storage.put(key, b"hello world")
    assert storage.get(key) == b"hello world"
    assert bytes(storage.get_range(key, 6, 5)) == b"world"
    assert bytes(storage.get_range(key, 3, 0)) == b""
    assert storage.head(key).size == 11
    assert [info.key for info in storage.list()] == [key]
    storage.put(key, b"new")
    assert storage.get(key) == b"new"
    storage.delete(key)
    storage.delete(key)
    assert not storage.exists(key)


def test_list_is_sorted_and_by_whole_segments(storage):
    for key in ("b/2", "b/1", "ba/1", "c"):
        storage.put(key, b"x")
    assert [info.key for info in storage.list("b")] == ["b/1", "b/2"]
    assert [info.key for info in storage.list()] == ["b/1", "b/2", "ba/1", "c"]
    assert list(storage.list("nothing")) == []


def test_upload_and_download_of_files(storage, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 1000)
    storage.put("big", source)
    storage.download("big", target)
    assert target.read_bytes() == source.read_bytes()


def test_pickles_as_its_uri(storage):
    storage.put("x", b"y")
    assert pickle.loads(pickle.dumps(storage)).get("x") == b"y"


def test_missing_objects(storage, tmp_path):
    for read in (
        lambda: storage.get("no"),
        lambda: storage.get_range("no", 0, 1),
        lambda: storage.head("no"),
        lambda: storage.download("no", tmp_path / "x"),
    ):
        with pytest.raises(ObjectNotFoundError, match=r"/no: it does not exist"):
            read()


@pytest.mark.parametrize(("start", "length"), [(5, 10), (50, 10)])
def test_short_range(storage, start, length):
    storage.put("x", b"0123456789")
    with pytest.raises(StorageError, match="truncated") as caught:
        storage.get_range("x", start, length)
    assert f"offset {start}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_normalize(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert normalize_uri("a/../b") == (tmp_path / "b").as_uri()
    assert normalize_uri("s3://bucket/x/") == "s3://bucket/x"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("foo://x", "unknown scheme 'foo'"),
        ("s3://", "names no bucket"),
        ("/no/such/folder", "/no/such/folder does not exist"),
        ("file:///no/such", "/no/such does not exist"),
        (__file__, "is a file"),
    ],
)
def test_unusable_uris(uri, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Storage(uri)


def test_missing_bucket(s3_bucket):
    storage = Storage(f"{s3_bucket}-not/x")
    with pytest.raises(ObjectNotFoundError, match="the bucket does not exist"):
        list(storage.list())
    with pytest.raises(ObjectNotFoundError, match="the bucket does not exist"):
        storage.put("x", b"")


def test_wrong_credentials(s3_endpoint, s3_bucket):
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data=b"0", timeout=5)
    try:
        storage = Storage(s3_bucket)
        for use in (
            lambda: storage.get("x"),
            lambda: storage.head("x"),
            lambda: storage.put("x", b""),
            lambda: list(storage.list()),
        ):
            with pytest.raises(AccessDeniedError, match="check the credentials"):
                use()
    finally:
        requests.post(f"{s3_endpoint}/moto-api/reset-auth", data=b"inf", timeout=5)


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files as most web servers do: with byte ranges."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            super().do_GET()
            return
        with open(self.translate_path(self.path), "rb") as file:
            data = file.read()
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        self.send_response(206)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Last-Modified", self.date_time_string(0))
        self.end_headers()
        self.wfile.write(data[start:end])


@pytest.fixture
def web(tmp_path):
    handler = functools.partial(RangeHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_web_is_read_by_range(web, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a b").write_bytes(b"0123456789")
    storage = Storage(f"{web}/d")
    assert storage.get("a b") == b"0123456789"
    assert bytes(storage.get_range("a b", 2, 3)) == b"234"
    assert storage.head("a b").size == 10
    with pytest.raises(StorageError, match="truncated"):
        storage.get_range("a b", 8, 10)
    with pytest.raises(ObjectNotFoundError):
        storage.get("no")


def test_web_is_read_only(web):
    storage = Storage(web)
    for use in (
        lambda: storage.put("x", b""),
        lambda: storage.delete("x"),
        lambda: list(storage.list()),
    ):
        with pytest.raises(InputError, match="web server"):
            use()


def test_a_dataset_on_the_web_is_valid(web, make_toy_dataset, tmp_path):
    from shards_spec.dataset.validation.validator import validate

    make_toy_dataset(str(tmp_path / "d"), shard_bytes=20_000)
    report = validate(f"{web}/d")
    assert report.ok
    assert report.check("stray").state == "skipped"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device, as Linux has")
def test_a_full_disk_has_its_own_error(tmp_path):
    storage = Storage(str(tmp_path), create=True)
    storage.put("a", b"x" * (1 << 20))
    with pytest.raises(NoSpaceError, match="could not read"):
        storage.download("a", Path("/dev/full"))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Unable to copy data to file: No space left on device (os error 28)", NoSpaceError),
        ("[Errno 122] Disk quota exceeded", NoSpaceError),
        (
            "Generic S3 error: Error performing GET http://169.254.169.254/latest",
            NoCredentialsError,
        ),
        ("Generic GCS error: missing credential file", NoCredentialsError),
        ("HTTP error: error decoding response body", CutShortError),
        ("Generic S3 error: 28 retries", StorageError),
    ],
)
def test_failures_without_an_obstore_class(reason, kind):
    assert type(explained("could not write s3://b/k", reason)) is kind


def test_responses_that_break_off_are_requested_again(
    s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 400
    Storage(s3_bucket).put("a", data)
    with FaultProxy(
        s3_endpoint, rate=0.4, seed=5, faults=["truncate"], every_request=True
    ) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        storage = Storage(s3_bucket)
        for start in range(10):
            assert storage.get("a") == data
            assert storage.get_range("a", start, 5000) == data[start : start + 5000]
        assert proxy.counts["truncate"] >= 5
        never = storage.with_retries(0)
        with pytest.raises(StorageError):
            [never.get("a") for _ in range(20)]
