"""Uploads to a hub on loopback: complete, resumable, and without the token in any output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reelshards.commands import main
from shards_spec.dataset.index import write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from tests.support.datasets.described import describe
from tests.support.stores.hub_server import TOKEN, HubServer

REPO = "someone/movie-clips"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    pytest.importorskip("huggingface_hub")
    server = HubServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def data(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Two movies with two shards each, and one that failed."""
    folder = tmp_path / "data"
    return make_toy_dataset(str(folder), num_movies=2, num_failed=1, shard_bytes=20_000)


def push(
    hub: HubServer, data: Dataset, home: Path, *flags: str, token: str = TOKEN, batch: int = 100
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: the library reads its environment once."""
    script = (
        "import sys; from reelshards.hub import upload as u; "
        f"sys.modules['reelshards.hub.upload']._BATCH_FILES = {batch}; "
        "from reelshards.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(home / "hf"),
        **({"HF_TOKEN": token} if token else {}),
    }
    words = [sys.executable, "-c", script, "push", data.storage.uri, REPO, *flags]
    run = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert TOKEN not in run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run


def uploaded_keys(data: Dataset) -> set[str]:
    """What readers need: everything but what the writer keeps for itself."""
    return {
        info.key
        for info in data.storage.list()
        if not info.key.startswith(("index/parts", "run.json", "run.lock"))
    }


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


@pytest.mark.slow
def test_a_push_uploads_a_valid_dataset_and_a_second_one_nothing(
    hub: HubServer, data: Dataset, tmp_path: Path
) -> None:
    data = describe(data)
    data.storage.put("run.json", b"{}")
    run = push(hub, data, tmp_path)
    assert run.returncode == 0, run.stderr
    assert "2 movies, 16 clips" in run.stdout
    assert "toy:" in run.stdout
    files = hub.repos[REPO]
    assert set(files) == {".gitattributes", *uploaded_keys(data)}
    assert all(files[key] == data.storage.get(key) for key in uploaded_keys(data))
    assert hub.visibility[REPO] == "private"
    further = {"index/dropped.parquet", "index/duplicates.parquet", "index/fingerprints.parquet"}
    further |= {"labels/mood.parquet", "index/labels/mood.parquet", "index/labels.json"}
    assert further <= set(files)
    copy = write(tmp_path / "copy", files)
    assert validate(copy).ok
    assert open_dataset(copy).labels("mood").equals(data.labels("mood"))
    assert "dataset.json" in hub.commits[-1]
    num_commits, num_puts = len(hub.commits), len(hub.puts)
    run = push(hub, data, tmp_path)
    assert "uploaded 0 files" in run.stdout
    assert (len(hub.commits), len(hub.puts)) == (num_commits, num_puts)


@pytest.mark.slow
def test_an_interrupted_push_resumes(hub: HubServer, data: Dataset, tmp_path: Path) -> None:
    hub.commits_left = 2
    run = push(hub, data, tmp_path, batch=2)
    assert run.returncode == 2
    assert "run the same command again" in run.stderr
    assert "dataset.json" not in hub.repos[REPO]
    hub.commits_left = 1_000
    run = push(hub, data, tmp_path, "--json", batch=2)
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    sent = [path for commit in hub.commits for path in commit]
    assert len(sent) == len(set(sent))
    assert set(outcome["uploaded"]) < set(outcome["files"]) == uploaded_keys(data)
    # Of the failed commit, the large files were stored already.
    assert len(hub.puts) == len(set(hub.puts))
    assert validate(write(tmp_path / "copy", hub.repos[REPO])).ok


@pytest.mark.slow
def test_a_push_follows_the_dataset_and_keeps_other_files(
    hub: HubServer, data: Dataset, tmp_path: Path
) -> None:
    assert push(hub, data, tmp_path, "--public").returncode == 0
    assert hub.visibility[REPO] == "public"
    hub.repos[REPO] |= {"README.md": b"# Mine\n", "notes.txt": b"x", "paper/index.parquet": b"x"}
    hub.repos[REPO]["labels/gone.parquet"] = b"x"
    write_index(data.storage, data.recipe, "toy", without=["movie-001"])
    run = push(hub, data, tmp_path)
    assert run.returncode == 0, run.stderr
    assert "was kept" in run.stdout
    files = hub.repos[REPO]
    assert files["README.md"] == b"# Mine\n"
    assert {"notes.txt", "paper/index.parquet"} <= set(files)
    assert not [path for path in files if "movie-001" in path or "gone" in path]
    assert validate(write(tmp_path / "copy", files)).ok


@pytest.mark.slow
def test_a_push_from_a_bucket(
    hub: HubServer, make_toy_dataset: Callable[..., Dataset], s3_bucket: str, tmp_path: Path
) -> None:
    data = make_toy_dataset(f"{s3_bucket}/set", num_movies=2)
    run = push(hub, data, tmp_path)
    assert run.returncode == 0, run.stderr
    assert set(hub.repos[REPO]) == {".gitattributes", *uploaded_keys(data)}
    assert "uploaded 0 files" in push(hub, data, tmp_path).stdout


@pytest.mark.slow
def test_a_refused_token_and_none(hub: HubServer, data: Dataset, tmp_path: Path) -> None:
    run = push(hub, data, tmp_path, token="hf_wrong")
    assert run.returncode == 2
    assert "refuses the token" in run.stderr
    assert "hf_wrong" not in run.stdout + run.stderr
    run = push(hub, data, tmp_path, token="")
    assert run.returncode == 2
    assert "HF_TOKEN" in run.stderr
    assert not hub.repos


def test_a_dry_run_shows_what_would_be_uploaded(
    data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", data.storage.uri, REPO, "--dry-run", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["files"]) == uploaded_keys(data)
    for key in ("README.md", "croissant.json"):
        data.storage.delete(key)
    assert main(["push", data.storage.uri, REPO, "--dry-run"]) == 0
    assert "README.md, croissant.json" in capsys.readouterr().out


def test_what_cannot_be_pushed(
    data: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key")
    commit = data.storage.local_path("commits/movie-000.parquet")
    commit.unlink()
    assert main(["push", data.storage.uri, REPO, "--dry-run"]) == 2
    assert "lacks commits/movie-000.parquet" in capsys.readouterr().err
    commit.symlink_to(secret)
    assert main(["push", data.storage.uri, REPO, "--dry-run"]) == 2
    commit.unlink()
    readme = data.storage.local_path("README.md")
    readme.unlink()
    readme.symlink_to(secret)
    assert main(["push", data.storage.uri, REPO, "--dry-run"]) == 2
    assert "link" in capsys.readouterr().err
