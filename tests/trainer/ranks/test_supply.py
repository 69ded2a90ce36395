"""Whether data keeps up with training: reported for all ranks, and for the right interval."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from shards_spec.dataset.reader import Dataset
from tests.support.launch.ranks import start_ranks
from trainer.config import TrainConfig
from trainer.data.fetch.counters import Occupancy, StreamStats
from trainer.data.stream.stream import ClipStream
from trainer.models.two_towers import Embeddings
from trainer.ranks.data_supply import DataSupply
from trainer.ranks.readback import Readback
from trainer.ranks.world import World
from trainer.runs.config_file import config_from_json, config_to_json
from trainer.runs.journal.journal import Journal, StepResult
from trainer.runs.journal.load import Load
from trainer.runs.journal.metric_log import read_metrics
from trainer.runs.learning.loss import ClipOrigins, contrastive_loss
from trainer.train import train

ALONE = World(0, 1, torch.device("cpu"))

LOAD = Load(1e9, float("nan"), ALONE.device)

#: How long the second rank waits for each batch, seconds; the first one does not wait.
SLOW_SECONDS = 0.4


def result_of(stream: ClipStream, config: TrainConfig) -> StepResult:
    """The next batch, as if a model had processed it."""
    batch = next(stream)
    vectors = torch.nn.functional.normalize(torch.randn(len(batch.clip), 4), dim=1)
    embeddings = Embeddings(vectors, vectors, torch.tensor(10.0))
    output = contrastive_loss(embeddings, ClipOrigins.of(batch, ALONE.device), config.loss)
    one = torch.tensor(1.0)
    return StepResult(output.loss, output.diagnostics, one, one, 0.1, batch, Readback(one))


def test_loader_work_during_an_evaluation_is_not_counted(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    stream_config = dataclasses.replace(tiny_config.stream, num_threads=1, prefetch_batches=1)
    config = dataclasses.replace(tiny_config, stream=stream_config)
    with (
        ClipStream(toy_data, config.policy, config.stream, seed=0) as stream,
        Journal(tmp_path, config, 0, LOAD, writes=False) as journal,
    ):
        for _ in range(30):
            result = result_of(stream, config)
        while not stream.stats().queue_depth:
            time.sleep(0.01)
        journal.restart_clock(stream)
        values = journal.train_values(30, ALONE, stream, result)
    assert values["data/decode_occupancy"] == values["data/read_occupancy"] == 0.0
    assert values["data/wait_fraction"] == 0.0


def test_bad_clips_are_logged_by_reason(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    stats = dataclasses.replace(StreamStats.none(), bad_clips={"checksum": 2, "format": 3})
    metrics = DataSupply.of(ALONE, Occupancy(0.5, 0.25, 0.125), stats).metrics()
    assert metrics["data/bad_clips"] == 5.0
    assert metrics["data/bad_clips_checksum"] == 2.0
    assert metrics["data/bad_clips_format"] == 3.0
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, steps=2))
    [line] = read_metrics(tmp_path)
    assert set(metrics) <= set(line)


@pytest.mark.slow
def test_the_rank_that_waits_longest_is_shown(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, steps=6, log_every=3)
    # This file itself is run as a script: spawned processes cannot import tests by name.
    words = [__file__, toy_data.storage.uri, str(tmp_path), json.dumps(config_to_json(config))]
    ranks = start_ranks(words, 2)
    assert [rank.wait(timeout=500) for rank in ranks] == [0, 0]
    line = read_metrics(tmp_path)[-1]
    assert line["step"] == 6
    waited = line["data/wait_fraction"] * line["time/step_seconds"]
    assert waited > 0.8 * SLOW_SECONDS
    found = json.loads((tmp_path / "supply.json").read_text())
    assert found["data/wait_fraction"] == 0.75
    assert found["data/decode_occupancy"] == 0.25
    assert found["data/queue_batches"] == 0.0
    # Doubles: the byte count of a long run does not fit the 24 bits of a float32.
    assert found["data/read_bytes"] == 2 * 10**14 + 1
    assert found["data/bad_clips_format"] == 7.0


def one_rank(uri: str, run: str, config: str) -> None:
    """A process of the test above: trains, and writes the combined metrics of both ranks."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    if rank == 1:
        real = ClipStream.__next__
        ClipStream.__next__ = lambda self: time.sleep(SLOW_SECONDS) or real(self)  # type: ignore
    train(uri, Path(run), config_from_json(TrainConfig, json.loads(config), ""))
    dist.init_process_group("gloo", init_method=f"file://{run}/meet", rank=rank, world_size=2)
    stats = dataclasses.replace(
        StreamStats.none(),
        bytes_read=10**14 + rank,
        bad_clips={"format": 3 + rank},
        queue_depth=4 * (1 - rank),
    )
    occupancy = Occupancy(wait=0.75, read=0.5, decode=0.25) if rank else Occupancy(0.0, 1.0, 1.0)
    supply = DataSupply.of(World(rank, 2, torch.device("cpu")), occupancy, stats)
    if rank == 0:
        Path(run, "supply.json").write_text(json.dumps(supply.metrics()))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    one_rank(*sys.argv[1:])
