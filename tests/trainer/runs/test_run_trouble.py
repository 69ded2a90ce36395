"""What a user sees when a run cannot start, cannot write, or is interrupted."""

from __future__ import annotations

import dataclasses
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer import __main__ as command
from trainer.config import TrainConfig
from trainer.data.stream.stream import ClipStream
from trainer.runs.checkpoints.checkpoint import checkpoint_files
from trainer.runs.config_file import config_from_json, config_to_json
from trainer.runs.journal.metric_log import read_metrics
from trainer.train import train

#: Less than a checkpoint of `tiny_config`, but more than a batch: its memory counts as a file.
MAX_FILE_BYTES = 2_000_000


@pytest.mark.parametrize("num_processes", [0, 1])
def test_an_impossible_cache_folder_is_rejected_by_name(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path, num_processes: int
) -> None:
    (tmp_path / "file").write_text("")
    changes = {"num_processes": num_processes, "cache_dir": str(tmp_path / "file" / "cache")}
    stream_config = dataclasses.replace(tiny_config.stream, **changes)  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"cache_dir = .*/file/cache' cannot be created: (Not a dir|File exists)"
    ):
        ClipStream(toy_data, tiny_config.policy, stream_config, seed=0)
    empty = dataclasses.replace(stream_config, cache_dir=str(tmp_path / "new"), cache_bytes=0)
    with pytest.raises(InputError, match=r"cache_bytes = 0 leaves no room"):
        ClipStream(toy_data, tiny_config.policy, empty, seed=0)
    assert not (tmp_path / "new").exists()


def test_an_impossible_run_folder_is_rejected_by_name(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--run .*/file/run cannot be written: Not a directory"):
        train(toy_data.storage.uri, tmp_path / "file" / "run", tiny_config)


def test_a_changed_and_impossible_policy_is_reported_as_changed(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, steps=2))
    policy = dataclasses.replace(tiny_config.policy, where="motion > 1000")
    with pytest.raises(InputError, match=r"policy.where: '' became 'motion > 1000'"):
        train(
            toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, steps=2, policy=policy)
        )


def arguments(dataset: Dataset, run: Path, config: TrainConfig, max_file_bytes: int) -> list[str]:
    """This file itself is run as a script that trains like the command."""
    values = (
        dataset.storage.uri,
        str(run),
        json.dumps(config_to_json(config)),
        str(max_file_bytes),
    )
    return [sys.executable, "-u", __file__, *values]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_is_named_and_the_run_resumes_later(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    policy = dataclasses.replace(tiny_config.policy, clips_per_movie=2)
    config = dataclasses.replace(tiny_config, steps=4, checkpoint_every=2, policy=policy)
    done = subprocess.run(
        arguments(toy_data, tmp_path, config, MAX_FILE_BYTES),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 2
    assert f"--run {tmp_path} cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not checkpoint_files(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())
    train(toy_data.storage.uri, tmp_path, config)
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a batch's memory counts as a file there")
def test_unavailable_memory_is_named(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    done = subprocess.run(
        arguments(toy_data, tmp_path, tiny_config, 50_000),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 2
    assert "stream: no memory for a batch of " in done.stderr
    assert "Traceback" not in done.stderr


def test_phases_that_are_never_reached_are_reported(
    toy_data: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = dataclasses.replace(tiny_config.policy, schedule="0:4 2:8 50:16")
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, steps=2, policy=policy))
    printed = [line for line in capsys.readouterr().out.splitlines() if "policy.schedule" in line]
    assert printed == [
        "policy.schedule: the phases from step 2, 50 on are never reached in 2 steps"
    ]


@pytest.mark.slow
def test_ctrl_c_prints_how_to_resume(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, steps=100_000, log_every=1)
    with subprocess.Popen(
        arguments(toy_data, tmp_path, config, resource.RLIM_INFINITY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line.startswith("step") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        printed = process.stderr.read()
        assert process.wait(60) == 130
    assert printed == "interrupted; run the same command again to resume\n"


def test_sigterm_has_its_own_exit_code_so_that_schedulers_requeue(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, steps=100_000, log_every=1)
    with subprocess.Popen(
        arguments(toy_data, tmp_path, config, resource.RLIM_INFINITY),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("step") for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        last = process.stdout.readlines()[-1]
        assert process.wait(60) == 143
    [newest] = checkpoint_files(tmp_path)[-1:]
    step = int(newest.stem.removeprefix("step-"))
    assert last == f"stopped after step {step} of 100000; run the same command to resume\n"


def main(uri: str, run: str, config: str, max_file_bytes: str) -> int:
    """The program of the tests above."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_file_bytes),) * 2)
    torch.set_num_threads(1)
    # A flag for every setting would add nothing to these tests.
    settings = config_from_json(TrainConfig, json.loads(config), "")
    command._train_settings = lambda *_: settings
    return command.main(["train", "--data", uri, "--run", run])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
