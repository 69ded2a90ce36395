"""What ffmpeg knows of the process that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.ffmpeg import FfmpegProcess
from pipeline.limits import Limits
from pipeline.sources import Readable

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_SESSION_TOKEN": "t0ken",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "AZURE_STORAGE_ACCOUNT_KEY": "k3y",
    "RAY_AUTH_TOKEN": "r4y",
    "WANDB_API_KEY": "w4ndb",
    "MY_OWN_PASSWORD": "p4ss",
    "HTTPS_PROXY": "http://me:pr0xy@host",
    "http_proxy": "http://host",
    "FFREPORT": "file=report.log",
}


def test_ffmpeg_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {**SECRETS, "LC_ALL": "C.UTF-8"}.items():
        monkeypatch.setenv(name, text)
    program = tmp_path / "environment"
    program.write_text("#!/bin/sh\nexec env\n")
    program.chmod(0o755)
    source = Readable("file:x", "", Limits(ffmpeg_memory_gib=0))
    with FfmpegProcess([str(program)], source, what="x") as run:
        shown = run.read_some(1 << 20).decode()
        run.finish()
    names = {line.partition("=")[0] for line in shown.splitlines()}
    assert {"PATH", "LC_ALL"} <= names
    assert names.isdisjoint(SECRETS)
    assert not [text for text in SECRETS.values() if text in shown]
