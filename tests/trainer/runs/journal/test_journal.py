"""What a run reports about its data: shares of time, and the bottleneck."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.data.fetch.counters import Occupancy, StreamStats
from trainer.data.loader.config import StreamConfig
from trainer.runs.journal.metric_log import read_metrics
from trainer.train import train


def test_occupancy_is_per_thread_of_all_processes() -> None:
    before = dataclasses.replace(StreamStats.none(), wait_seconds=1.0, read_seconds=2.0)
    after = dataclasses.replace(before, wait_seconds=2.0, read_seconds=18.0, decode_seconds=4.0)
    config = StreamConfig(num_processes=2, reads_in_flight=4, num_threads=2)
    counts = {"num_readers": config.num_readers, "num_decoders": config.num_decoders}
    assert after.occupancy(before, 4.0, **counts) == Occupancy(wait=0.25, read=0.5, decode=0.25)
    threads = dataclasses.replace(config, num_processes=0)
    counts = {"num_readers": threads.num_readers, "num_decoders": threads.num_decoders}
    assert after.occupancy(before, 4.0, **counts) == Occupancy(wait=0.25, read=1.0, decode=0.5)


@pytest.mark.parametrize(
    ("busy", "bottleneck"),
    [
        (Occupancy(wait=0.01, read=1.0, decode=1.0), "none"),
        (Occupancy(wait=0.5, read=0.9, decode=0.5), "network"),
        (Occupancy(wait=0.5, read=0.4, decode=0.9), "decode"),
        (Occupancy(wait=0.5, read=0.1, decode=0.1), "copy"),
    ],
)
def test_the_busier_stage_is_the_bottleneck(busy: Occupancy, bottleneck: str) -> None:
    assert busy.bottleneck == bottleneck


def test_every_line_names_the_bottleneck(
    toy_data: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, steps=4))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert len(lines) == 2
    pattern = r"waiting for data \d+% \(bottleneck: (none|network|decode|copy)\), \d+ batches ready"
    assert all(re.search(pattern, line) for line in lines)
    for line in read_metrics(tmp_path):
        assert 0 <= line["data/wait_fraction"] <= 1
        assert line["data/read_occupancy"] > 0
        assert line["data/decode_occupancy"] > 0
        assert line["data/requests"] >= 8 * line["step"] / 2
        assert line["data/retries"] == line["data/hedges"] == line["data/cache_hits"] == 0
