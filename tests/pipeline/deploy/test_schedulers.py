"""The files for Slurm, SkyPilot and kustomize, checked with these programs where installed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray.scripts.scripts as ray_cli
import yaml

import pipeline.__main__ as commands
from shards_spec.cli import parse

DEPLOY = Path(__file__).parents[3] / "pipeline" / "deploy"
SLURM = DEPLOY / "slurm.sh"


def joined_lines(script: str) -> list[str]:
    """Commands of a shell script, without what continues them in the background."""
    return [
        line.strip().removesuffix("&").strip() for line in script.replace("\\\n", " ").split("\n")
    ]


def assert_commands(script: str) -> None:
    """Our own command line and Ray's accept what a script runs."""
    lines = joined_lines(script)
    ours = [line for line in lines if "python -m pipeline" in line]
    assert ours
    for line in ours:
        words = shlex.split(line[line.index("python -m pipeline") :])[3:]
        parse(commands.COMMANDS, [word for word in words if word != "$@"], prog="", description="")
    starts = [line[line.index("ray start") :] for line in lines if "ray start --" in line]
    assert len(starts) >= 2
    for line in starts:
        words = shlex.split(line.partition(";")[0].replace("'", ""))[2:]
        options = [word.replace("$cores", "4").replace("$port", "6379") for word in words]
        # Only parsed: click raises for an option that Ray does not have.
        ray_cli.cli.commands["start"].make_context("start", options)


def test_bash_accepts_the_slurm_script() -> None:
    checked = subprocess.run(
        ["bash", "-n", str(SLURM)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert_commands(SLURM.read_text())


@pytest.mark.parametrize(
    ("arguments", "message"), [(["a"], "usage:"), (["corpus", "out"], "with sbatch")]
)
def test_the_slurm_script_says_how_it_is_used(arguments: list[str], message: str) -> None:
    variables = {"PATH": os.environ["PATH"]}
    command = ["bash", str(SLURM), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert ended.returncode == 2
    assert message in ended.stderr


# A stand-in for a cluster of two nodes: what Slurm and Ray would be asked to do is written down,
# and the driver is a real process that gets real signals.
FAKES = {
    "scontrol": 'printf "n1\\nn2\\n"',
    "srun": 'echo "srun $*" >> "$LOG"; [[ $RAY_AUTH_TOKEN =~ ^[0-9a-f]{64}$ ]] || exit 9; '
    "exec sleep 60",
    "ray": "exit 0",
    "python": 'if [[ $1 = -c ]]; then printf "%064d" 7; exit; fi; echo "driver $*" >> "$LOG"; '
    'trap "echo drained >> $LOG; exit 143" TERM; '
    'if [[ -n ${FAIL:-} ]]; then exit 1; fi; touch "$LOG.up"; '
    "for _ in $(seq 600); do sleep 0.1; done",
}


def slurm_job(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    for name, body in FAKES.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LOG": str(folder / "log"),
        "TMPDIR": str(folder),
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_ON_NODE": "8",
        **variables,
    }
    command = ["bash", str(SLURM), "s3://in", "s3://out", "--fps", "5"]
    return subprocess.Popen(command, env=environment)


def test_a_slurm_job_starts_ray_on_all_nodes_and_returns_the_exit_code(tmp_path: Path) -> None:
    with slurm_job(tmp_path, FAIL="1") as job:
        assert job.wait(60) == 1
    log = (tmp_path / "log").read_text()
    assert "--nodelist=n1 ray start --head" in log
    assert "--nodelist=n2 bash -c" in log
    assert "driver -m pipeline preprocess s3://in --out s3://out --address n1:20042 --fps 5" in log


def test_a_slurm_job_drains_when_its_time_is_up(tmp_path: Path) -> None:
    with slurm_job(tmp_path) as job:
        for _ in range(600):
            if (tmp_path / "log.up").exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(0.1)
        job.terminate()
        assert job.wait(60) == 143
    assert "drained" in (tmp_path / "log").read_text()


def test_sbatch_accepts_the_options_of_the_slurm_script() -> None:
    """With a Slurm whose controller runs; it plans the job without submitting it."""
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed")
    if subprocess.run(["sinfo"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("no Slurm controller answers")
    command = ["sbatch", "--test-only", "--nodes=1", str(SLURM), "in", "out"]
    planned = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert planned.returncode == 0, planned.stderr


def skypilot() -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load((DEPLOY / "skypilot.yaml").read_text())
    return task


def test_the_skypilot_task_leaves_skypilots_own_ray_alone(tmp_path: Path) -> None:
    run = skypilot()["run"]
    script = tmp_path / "run.sh"
    script.write_text(run)
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert_commands(run)
    assert "ray stop" not in run
    assert "6380" not in run
    assert run.count('--address="$head:6379"') >= 3
    assert "RAY_TMPDIR" in run


def test_skypilot_accepts_the_task() -> None:
    sky = pytest.importorskip("sky", reason="SkyPilot is not installed")
    sky.Task.from_yaml(str(DEPLOY / "skypilot.yaml"))


def test_the_kustomization_lists_files_that_exist() -> None:
    folder = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    assert (folder["apiVersion"], folder["kind"]) == (
        "kustomize.config.k8s.io/v1beta1",
        "Kustomization",
    )
    documents = [
        document
        for name in folder["resources"]
        for document in yaml.safe_load_all((DEPLOY / name).read_text())
    ]
    assert {document["kind"] for document in documents} == {
        "RayJob",
        "ServiceMonitor",
        "PodMonitor",
    }
    (image,) = folder["images"]
    assert f"image: {image['name']}:" in (DEPLOY / "rayjob.yaml").read_text()


def test_kustomize_builds_the_folder() -> None:
    program = shutil.which("kustomize")
    command = [program, "build"] if program else ["kubectl", "kustomize"]
    if shutil.which(command[0]) is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    built = subprocess.run([*command, DEPLOY], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    kinds = [document["kind"] for document in yaml.safe_load_all(built.stdout)]
    assert sorted(kinds) == ["PodMonitor", "RayJob", "ServiceMonitor"]
