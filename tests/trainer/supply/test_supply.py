"""The simulated supply of a training: limits that can be computed by hand, and the command."""

from __future__ import annotations

import dataclasses
import json

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.__main__ import main
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.settings import SupplyConfig
from trainer.supply import forecast
from trainer.supply.simulation import Machine, Read, simulate

POLICY = BatchPolicy(movies_per_batch=4, clips_per_movie=4, reads_per_movie=2)
STREAM = StreamConfig(frame_size=32, max_gap_bytes=0)

#: Four reads of 1 MB with 4 clips each.
BATCH = [Read(1_000_000, 4)] * 4
FAST = Machine(
    num_readers=16, num_decoders=8, depth=4, latency=0.01, bytes_per_second=1e9, decode=0.001
)


@pytest.mark.parametrize(
    ("machine", "seconds_per_batch"),
    [
        pytest.param(dataclasses.replace(FAST, bytes_per_second=1e7), 0.4, id="bandwidth"),
        pytest.param(dataclasses.replace(FAST, num_readers=1, latency=0.1), 0.404, id="latency"),
        pytest.param(dataclasses.replace(FAST, num_decoders=2, decode=0.05), 0.4, id="decoding"),
        pytest.param(FAST, 0.2, id="nothing"),
    ],
)
def test_the_slowest_part_sets_the_pace(machine: Machine, seconds_per_batch: float) -> None:
    course = simulate([BATCH] * 60, machine, 0.2)
    paces = course.ready[20:] - course.ready[19:-1]
    assert paces.mean() == pytest.approx(seconds_per_batch, rel=0.02)
    expected_wait = seconds_per_batch - 0.2
    assert course.waits[20:].mean() == pytest.approx(expected_wait, abs=0.01)


def test_a_deeper_prefetch_hides_one_slow_batch() -> None:
    slow = [Read(100_000_000, 4)] * 4
    batches = [BATCH] * 10 + [slow] + [BATCH] * 10
    shallow, deep = (
        simulate(batches, dataclasses.replace(FAST, depth=depth), 0.2).waits[1:].sum()
        for depth in (1, 4)
    )
    assert shallow > 0.15
    assert deep == 0.0


def test_figures_of_a_forecast(toy_data: Dataset) -> None:
    index = ClipIndex.from_dataset(toy_data, POLICY)
    supply = SupplyConfig(
        clips_per_second=1600.0,
        latency_ms=10.0,
        megabytes_per_second=1000.0,
        decode_ms=2.0,
        cores=2,
        price_per_gigabyte=10.0,
    )
    found = forecast(toy_data, index, 0, STREAM, supply)
    assert found.limit == "decoding"
    assert found.clips_per_second_by["decoding"] == pytest.approx(1000.0)
    assert found.clips_per_second == pytest.approx(1000.0, rel=0.4)
    assert found.cores_needed == pytest.approx(3.2)
    # 8 reads a step, 100 steps a second.
    assert found.reads_per_second == pytest.approx(800.0, rel=0.1)
    assert found.reads_per_epoch == pytest.approx(8.0 * found.num_steps, rel=0.1)
    price = found.gigabytes_per_epoch * 10.0 + found.reads_per_epoch * 0.4e-6
    assert found.price_per_epoch == pytest.approx(price)


def test_ranks_share_the_work(toy_data: Dataset) -> None:
    index = ClipIndex.from_dataset(toy_data, POLICY)
    one = SupplyConfig(clips_per_second=500.0, decode_ms=2.0, latency_ms=0.0)
    alone = forecast(toy_data, index, 0, STREAM, one)
    both = forecast(toy_data, index, 0, STREAM, dataclasses.replace(one, ranks=2))
    assert both.cores_needed == alone.cores_needed / 2
    assert both.clips_per_second_by["decoding"] == 2 * alone.clips_per_second_by["decoding"]
    assert both.gigabytes_per_epoch == pytest.approx(alone.gigabytes_per_epoch, rel=0.1)


def test_what_cannot_be_simulated_is_refused(toy_data: Dataset) -> None:
    index = ClipIndex.from_dataset(toy_data, POLICY)
    with pytest.raises(InputError, match="give the speed of the training step"):
        forecast(toy_data, index, 0, STREAM, SupplyConfig())
    with pytest.raises(PolicyError, match="cannot be divided among 3 ranks"):
        forecast(toy_data, index, 0, STREAM, SupplyConfig(clips_per_second=1.0, ranks=3))
    with pytest.raises(InputError, match="megabytes_per_second = 0"):
        SupplyConfig(megabytes_per_second=0.0)


def test_the_plan_command_simulates(toy_data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--data", toy_data.storage.uri, "--policy.movies-per-batch", "4"]
    words += ["--policy.clips-per-movie", "4", "--stream.frame-size", "32"]
    assert main([*words, "--supply.clips-per-second", "50", "--json"]) == 0
    supply = json.loads(capsys.readouterr().out)["supply"]
    assert supply["decode_ms"] > 0
    assert supply["cores_needed"] == pytest.approx(supply["decode_ms"] * 50 / 1000)
    assert main([*words, "--supply.clips-per-second", "50"]) == 0
    assert "limited by" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert "supply" not in json.loads(capsys.readouterr().out)
