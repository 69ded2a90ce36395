"""End to end on GCS and Azure: movies in a bucket, shards in it, a stream of batches from it.

The servers are on loopback (`support/clouds.py`); everything that they need to be found and to let
us in comes from the environment, as for a user.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.__main__ import main
from pipeline.config import RunConfig
from pipeline.run.preprocess import preprocess
from pipeline.sources import identity as source
from pipeline.sources.corpus import find_movies
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.errors import AccessDeniedError, ObjectNotFoundError
from shards_spec.recipe import Recipe
from shards_spec.storage.storage import Storage
from tests.support.datasets.outcome import shard_digests
from tests.support.films.media import Film, make_film
from tests.support.launch.rays import running
from tests.support.stores import clouds
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.stream import ClipStream

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]
CLOUDS = ["gcs", pytest.param("azure", marks=pytest.mark.media)]
CLOUDS_SLOW = [pytest.param("gcs", marks=pytest.mark.slow), CLOUDS[1]]


@pytest.fixture
def bucket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A new bucket or container; the environment is set so that all code finds it."""
    is_gcs = request.param == "gcs"
    made = clouds.gcs("films") if is_gcs else clouds.azure("films", tmp_path / "azurite")
    with made as (uri, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield uri


@pytest.mark.parametrize("bucket", CLOUDS, indirect=True)
def test_objects_in_a_cloud(bucket: str) -> None:
    storage = Storage(f"{bucket}/some where")
    storage.put("a/b.bin", bytes(range(100)))
    (listed,) = storage.list()
    # A listing and `head` must agree on the object: changed sources are detected by it.
    assert listed == storage.head("a/b.bin")
    pieces = storage.stream_range("a/b.bin", 10, 20, expected=listed)
    assert b"".join(pieces) == bytes(range(10, 30))
    assert bytes(storage.get_range("a/b.bin", 90, 10)) == bytes(range(90, 100))
    assert storage.create("new", b"1")
    assert not storage.create("new", b"2")
    assert storage.get("new") == b"1"
    large = os.urandom(11 << 20)
    storage.put("large", large)
    assert storage.get("large") == large
    for key in ("new", "new", "a/b.bin"):
        storage.delete(key)
    assert [info.key for info in storage.list()] == ["large"]
    with pytest.raises(ObjectNotFoundError):
        storage.head("new")


@pytest.mark.parametrize("bucket", CLOUDS, indirect=True)
def test_a_wrong_key_is_reported(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "wrong")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(AccessDeniedError):
        Storage(bucket).put("a", b"x")


@pytest.mark.parametrize("bucket", CLOUDS_SLOW, indirect=True)
def test_movies_and_shards_in_a_cloud(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, films, out = tmp_path / "films", f"{bucket}/films", f"{bucket}/out"
    folder.mkdir()
    for number in range(3):
        path = make_film(folder / f"{number}.mp4", Film(seconds=5 + number, width=96, height=64))
        Storage(films).put(path.name, path)
    for movie in find_movies(films):
        source.require_unchanged(movie)
    with running():
        assert main(["preprocess", str(folder), "--out", str(tmp_path / "whole"), *SMALL]) == 0
        whole = shard_digests(Storage(str(tmp_path / "whole")))
        for sources in ("ranged", "staged"):
            words = ["--sources", sources, "--segment-seconds", "3"]
            to = out if sources == "ranged" else f"{out}-{sources}"
            assert main(["preprocess", films, "--out", to, *SMALL, *words]) == 0
            assert shard_digests(Storage(to)) == whole
        recipe = Recipe(short_side=32, num_frames=8, seed=3)
        again = preprocess(films, out, recipe, RunConfig())
        assert (len(again.work.keep), again.work.process) == (3, ())
    assert validate(out).ok
    require_same_batches(out, tmp_path / "whole")
    capsys.readouterr()
    assert main(["status", out, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert {movie["status"] for movie in status["movies"]} == {"done"}
    Storage(films).delete("1.mp4")
    assert main(["prune", out, films, "--yes"]) == 0
    assert [movie["movie_id"] for movie in open_dataset(out).movies.to_pylist()] == ["0", "2"]
    assert validate(out).ok
    assert not list(Storage(out).list("run.lock"))


def require_same_batches(uri: str, folder: Path) -> None:
    """The trainer's stream yields the same batches from a bucket and from a folder."""
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=2)
    config = StreamConfig(frame_size=32, num_processes=0, num_threads=2)
    found = []
    for dataset in (open_dataset(uri), open_dataset(str(folder))):
        with ClipStream(
            dataset, policy, config, seed=5, rank=0, world_size=1, epoch=0, step=0
        ) as stream:
            found.append(next(stream))
    remote, local = found
    assert torch.equal(remote.clip, local.clip)
    assert torch.equal(remote.frames, local.frames)
    assert torch.equal(remote.logmel, local.logmel)
