"""Importing the public API is cheap, and every public name exists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import reelshards

#: Packages that take seconds to import, or that an installation without extras lacks.
HEAVY = ("torch", "ray", "librosa", "ffmpeg", "scenedetect", "pyarrow", "numpy", "obstore", "tyro")


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after running `code`."""
    report = "; import json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import reelshards",
        "import shards_spec",
        "import reelshards as rs; dir(rs); rs.ReelshardsError",
    ],
)
def test_import_loads_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("Recipe", {"torch", "ray", "librosa"}),
        ("open_dataset", {"torch", "ray", "librosa"}),
        ("BatchPolicy", {"torch", "ray", "librosa"}),
        ("TrainConfig", {"torch", "ray", "librosa"}),
        ("stream", {"torch", "ray", "librosa"}),
        ("preprocess", {"torch", "ray", "librosa"}),
    ],
)
def test_a_name_loads_only_what_it_needs(name: str, absent: set[str]) -> None:
    loaded = loaded_after(f"import reelshards as rs; rs.{name}")
    assert not loaded & absent
    assert "shards_spec" in loaded


def test_a_preprocessing_run_starts_without_slow_packages() -> None:
    """Driver and workers import the same; each of these takes up to seconds of CPU."""
    slow = {"torch", "librosa", "numba", "scipy", "scenedetect", "webdataset"}
    assert not loaded_after("import pipeline.run.preprocess, pipeline.engine.tasks") & slow


@pytest.mark.parametrize("name", reelshards.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(reelshards, name) is not None
    assert name in dir(reelshards)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'steram'"):
        reelshards.steram  # noqa: B018


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_module_that_hides_ours_is_named(tmp_path: Path, is_folder: bool) -> None:
    own = tmp_path / ("trainer" if is_folder else "trainer.py")
    if is_folder:
        own.mkdir()
    (own / "__init__.py" if is_folder else own).write_text("print('mine')\n")
    code = (
        "import sys; sys.path.insert(0, '.'); import reelshards as rs\n"
        "try: rs.TrainConfig\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(own))
    assert "hides the package 'trainer'" in done.stdout
    assert "mine" not in done.stdout


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import reelshards as rs\n"
        "try: rs.ClipStream\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'reelshards[trainer]'" in done.stdout
