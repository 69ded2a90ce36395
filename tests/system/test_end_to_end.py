"""Movies to shards to a model, on local disk and in a bucket: equal batches, equal losses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipeline.__main__
import trainer.__main__
from shards_spec.storage.storage import Storage
from tests.support.films.media import Film, make_film

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

POLICY = [
    *("--policy.movies-per-batch", "2", "--policy.clips-per-movie", "2"),
    *("--policy.reads-per-movie", "1", "--policy.heldout-fraction", "0.34"),
]
TRAIN = [
    *("--config", "small", "--steps", "3", "--log-every", "1", "--no-tensorboard", *POLICY),
    *("--stream.frame-size", "32", "--optimizer.warmup-steps", "1"),
]


@pytest.mark.usefixtures("local_ray")
def test_a_bucket_and_a_folder_train_the_same_model(tmp_path: Path, s3_bucket: str) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(4):
        tint = (60 + 40 * number, 120, 180 - 40 * number)
        make_film(films / f"{number}.mp4", Film(seconds=7, tint=tint))
    out = f"{s3_bucket}/shards"
    options = ["--num-frames", "8", "--short-side", "32"]
    assert pipeline.__main__.main(["preprocess", str(films), "--out", out, *options]) == 0
    storage, folder = Storage(out), tmp_path / "shards"
    copy = Storage(str(folder), create=True)
    for info in storage.list():
        copy.put(info.key, storage.get(info.key))

    def losses(data: str, run: str) -> list[dict[str, float]]:
        arguments = ["train", "--data", data, "--run", str(tmp_path / run), *TRAIN]
        assert trainer.__main__.main(arguments) == 0
        lines = (tmp_path / run / "metrics.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [
            {k: v for k, v in line.items() if k.startswith(("train/", "eval/"))} for line in found
        ]

    def batches(data: str, name: str) -> str:
        dump = tmp_path / name
        arguments = ["plan", "--data", data, "--config", "small", *POLICY]
        assert trainer.__main__.main([*arguments, "--dump", str(dump)]) == 0
        return dump.read_text()

    assert batches(out, "remote.jsonl") == batches(str(folder), "local.jsonl") != ""
    remote = losses(out, "remote")
    assert len([line for line in remote if "train/loss" in line]) == 3
    assert losses(str(folder), "local") == remote
