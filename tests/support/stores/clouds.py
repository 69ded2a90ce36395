"""Servers on loopback with the protocols of GCS and Azure, and the environment to use them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler, make_server

_AZURITE = "azurite@3.37.0"
#: The account of every Azurite; published, not a secret.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_TOKEN = "token-of-the-tests"


@contextlib.contextmanager
def gcs(bucket: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket, and the environment variables to reach it.

    GCS's XML API equals S3's except for its headers, so moto's S3 server serves it.
    """
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    assert moto._server is not None
    server = make_server(
        "127.0.0.1", 0, _GcsHeaders(moto._server.app), threaded=True, request_handler=_Quiet
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", moto.get_host_and_port()[1])
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status == 200
    connection.close()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield f"gs://{bucket}", {"GOOGLE_BASE_URL": url, "GOOGLE_BEARER_TOKEN": _TOKEN}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        moto.stop()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing."""


class _GcsHeaders:
    """Forwards requests in GCS's form to an S3 server."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ.get("HTTP_AUTHORIZATION") != f"Bearer {_TOKEN}":
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return [b""]
        if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", "") == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        return self._app(environ, start_response)


@contextlib.contextmanager
def azure(container: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A container of Azurite, Microsoft's emulator, and the environment variables to reach it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [_node(), str(_azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--location", str(folder), "--silent", "--skipApiVersionCheck"]
    command += ["--disableTelemetry"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _make_container(port, container)
            variables = {
                "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
                "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{_ACCOUNT}",
            }
            yield f"az://{container}", variables
        finally:
            process.terminate()


def _node() -> str:
    return shutil.which("node") or pytest.skip("no node here: Azurite cannot run")


def _azurite() -> Path:
    """The program, downloaded once into a cache folder; skips the test if that fails."""
    home = Path.home() / ".cache" / "reelshards-azurite"
    cache = Path(os.environ.get("REELSHARDS_AZURITE", home))
    program = cache / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        npm = shutil.which("npm") or pytest.skip("no npm here to fetch Azurite with")
        cache.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(cache), "--no-audit", "--no-fund", _AZURITE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
        if not program.exists():
            pytest.skip(f"cannot fetch {_AZURITE}: {done.stderr.strip()[-200:]}")
    return program


def _make_container(port: int, container: str) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            status = _signed_put(port, f"/{_ACCOUNT}/{container}")
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "Azurite did not start"
            time.sleep(0.2)
        else:
            assert status == 201, status
            return


def _signed_put(port: int, path: str) -> int:
    """Status of an empty PUT of a container, signed with the account's shared key."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    lines += [f"/{_ACCOUNT}{path}", "restype:container"]
    text = "\n".join(lines).encode()
    mark = base64.b64encode(hmac.new(base64.b64decode(_KEY), text, hashlib.sha256).digest())
    headers |= {"Authorization": f"SharedKey {_ACCOUNT}:{mark.decode()}", "Content-Length": "0"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("PUT", f"{path}?restype=container", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
