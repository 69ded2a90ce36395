"""The wheel in a separate environment: no checkout, and a working folder full of our names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import reelshards as rs
from shards_spec.dataset.browser.site import ASSETS

ROOT = Path(__file__).parents[2]
SOURCES = (
    *("pipeline", "trainer", "shards_spec", "reelshards"),
    *("pyproject.toml", "README.md", "LICENSE"),
)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel, and a folder whose modules have our packages' names."""

    folder: Path
    work: Path

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the working folder."""
        program = str(self.folder / "bin" / words[0])
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [program, *words[1:]],
            cwd=self.work,
            env=clean,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # In a copy: setuptools writes into the source tree.
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)
    (path,) = out.glob("reelshards-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # Dependencies come from this environment. A path in a .pth file is added as it is: the .pth
    # files in it, such as that of an editable installation, have no effect.
    (installed,) = folder.glob("lib/*/site-packages")
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = tmp_path_factory.mktemp("work")
    for name in ("pipeline", "trainer", "shards_spec"):
        (work / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was run')\n")
    return Environment(folder, work)


@pytest.fixture(scope="module")
def toy_uri(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path_factory: pytest.TempPathFactory
) -> str:
    folder = tmp_path_factory.mktemp("toy")
    make_toy_dataset(str(folder), num_movies=4, clips_per_movie=12)
    return str(folder)


def test_the_installed_package_is_used(environment: Environment) -> None:
    code = "import reelshards, pipeline, trainer, shards_spec as s; print(reelshards.__file__)"
    done = environment.run("python", "-P", "-c", code)
    assert done.stdout.startswith(str(environment.folder))


def test_the_wheel_has_the_specification_and_types(environment: Environment) -> None:
    (installed,) = environment.folder.glob("lib/*/site-packages")
    assert (installed / "shards_spec" / "SPEC.md").exists()
    for asset in ASSETS:
        assert (installed / "shards_spec" / "browser" / "assets" / asset).exists()
    for package in ("pipeline", "trainer", "shards_spec", "reelshards"):
        assert (installed / package / "py.typed").exists()
    assert not (installed / "tests").exists()


def test_commands_on_a_dataset(environment: Environment, toy_uri: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert environment.run("reelshards", "--version").stdout == f"reelshards {version}\n"
    assert "valid: 4 movies" in environment.run("reelshards", "validate", toy_uri).stdout
    assert "48 (12 to 12 per movie" in environment.run("reelshards", "inspect", toy_uri).stdout
    environment.run("reelshards", "nonsense", code=2)


def test_movies_to_shards_with_ray(environment: Environment) -> None:
    small = [
        "--num-movies",
        "1",
        "--min-seconds",
        "8",
        "--max-seconds",
        "9",
        "--width",
        "160",
        "--height",
        "96",
    ]
    environment.run("reelshards", "demo-corpus", "films", *small)
    words = "preprocess films --out shards --workers 1 --short-side 32 --num-frames 4 --n-mels 16"
    # Ray's workers would import the user's `pipeline.py`, so the run is rejected.
    done = environment.run("reelshards", *words.split(), code=2)
    assert "pipeline.py would hide the package 'pipeline'" in done.stderr
    for name in ("pipeline", "shards_spec"):
        (environment.work / f"{name}.py").rename(environment.work / f"my_{name}.py")
    environment.run("reelshards", *words.split())
    assert "valid: 1 movies" in environment.run("reelshards", "validate", "shards").stdout


def test_training_with_a_loader_process(environment: Environment, toy_uri: str) -> None:
    words = "--config small --stop-at-step 2 --log-every 1 --policy.movies-per-batch 2 "
    words += "--policy.clips-per-movie 4 --stream.frame-size 32 --stream.num-processes 1 "
    words += "--no-tensorboard --policy.heldout-fraction 0 --policy.split all --run run"
    environment.run("reelshards", "train", "--data", toy_uri, *words.split())
    assert (environment.work / "run" / "config.json").exists()


def test_a_script_next_to_a_module_of_our_name_is_reported(environment: Environment) -> None:
    script = environment.work / "mine.py"
    script.write_text(
        "import sys\nimport reelshards as rs\n"
        "try:\n    rs.TrainConfig\nexcept ImportError as error:\n    sys.exit(str(error))\n"
    )
    done = environment.run("python", "mine.py", code=1)
    assert "trainer.py hides the package 'trainer'" in done.stderr
