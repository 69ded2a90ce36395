"""mteb evaluates a run on tasks with real files, to their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reelshards as rs
from reelshards.commands import main
from trainer.transfer import untrained

mteb = pytest.importorskip("mteb", reason="needs mteb (extra `board`)")

# mteb takes seconds to import.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

from reelshards.board.evaluation import tasks_named  # noqa: E402
from reelshards.board.mteb_encoder import MtebEncoder, compares_modalities  # noqa: E402
from tests.support.board import own_tasks  # noqa: E402


@pytest.fixture(scope="module")
def encoder(trained_run: Path) -> MtebEncoder:
    return MtebEncoder(rs.load(trained_run).clips, "tests/small")


def evaluated(encoder: MtebEncoder, task: Any) -> dict[str, Any]:
    """The scores that mteb's evaluator computes on the split `test`."""
    found = mteb.evaluate(encoder, task, cache=None, co2_tracker=False, show_progress_bar=False)
    [result] = found.task_results
    [scores] = result.scores["test"]
    return scores


@pytest.mark.parametrize("category", ["a2c", "v2c", "va2c"])
def test_classification(encoder: MtebEncoder, tmp_path: Path, category: str) -> None:
    scores = evaluated(encoder, own_tasks.classification(tmp_path, category))
    assert scores["main_score"] == 1.0


def test_clustering(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.clustering(tmp_path))["main_score"] == 1.0


def test_pairs(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.pairs(tmp_path))["main_score"] == 1.0


def test_retrieval(encoder: MtebEncoder, tmp_path: Path) -> None:
    assert evaluated(encoder, own_tasks.retrieval(tmp_path, "a2a"))["main_score"] == 1.0
    across = evaluated(encoder, own_tasks.retrieval(tmp_path, "v2a"))
    assert 0.0 < across["main_score"] <= 1.0


def test_an_item_without_audio_has_only_features_of_its_video(encoder: MtebEncoder) -> None:
    frames = [np.full((4, 3, 32, 32), value, np.uint8) for value in (0, 200)]
    audio = [{"array": np.ones(900) * 0.1, "sampling_rate": 8_000}, None]
    batches = [{"video": frames, "audio": audio}]
    both = described("va2c")
    found = encoder.encode(batches, task_metadata=both, hf_split="test", hf_subset="default")
    assert found.shape == (2, 384)
    assert (np.abs(found[:, :192]).max(axis=1) > 0).all()
    assert (found[1, 192:] == 0).all()
    assert np.abs(found[0, 192:]).max() > 0
    # Video is compared with items that have both.
    sides = described("v2a", ["video", "audio"])
    joint = encoder.encode(batches, task_metadata=sides, hf_split="test", hf_subset="default")
    np.testing.assert_allclose(np.linalg.norm(joint, axis=1), 1.0, atol=1e-5)
    assert joint.shape == (2, 16)


def described(category: str, modalities: list[str] | None = None) -> Any:
    return own_tasks.described("Local", "VideoClassification", category, "accuracy").model_copy(
        update={} if modalities is None else {"modalities": modalities}
    )


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"audio": [{"array": [0.1], "sampling_rate": 8_000}, None]}, "item 1 has no audio"),
        ({"audio": [{"array": [0.1, np.nan], "sampling_rate": 8_000}]}, "item 0: 1 of 2 audio"),
        ({"audio": [{"array": [], "sampling_rate": 8_000}]}, "Local, default, test, item 0: .*out"),
        ({"video": [np.zeros((1, 3, 8, 8), np.uint8)]}, "a batch without 'audio'"),
    ],
    ids=str,
)
def test_unusable_items_are_named(encoder: MtebEncoder, batch: Any, message: str) -> None:
    task = own_tasks.described("Local", "AudioClassification", "a2c", "accuracy")
    with pytest.raises(rs.InputError, match=message):
        encoder.encode([batch], task_metadata=task, hf_split="test", hf_subset="default")


def test_text_is_refused(encoder: MtebEncoder) -> None:
    task = mteb.get_task("ClothoT2ARetrieval").metadata
    with pytest.raises(rs.InputError, match="needs text"):
        encoder.encode(
            [], task_metadata=task, hf_split="test", hf_subset="default", prompt_type="query"
        )


@pytest.mark.parametrize(
    ("category", "compares"),
    [
        *(("v2a", True), ("a2v", True), ("va2v", True), ("a2va", True), ("va2va", False)),
        *(("a2a", False), ("va2c", False), ("a2t", False), ("t2a", False), (None, False)),
    ],
)
def test_tasks_that_compare_video_with_audio(category: str | None, compares: bool) -> None:
    assert compares_modalities(category) == compares


def test_the_revision_names_weights_and_settings(encoder: MtebEncoder) -> None:
    same = MtebEncoder(encoder.clips, "tests/other-name")
    fewer = MtebEncoder(encoder.clips, "tests/small", max_windows=3)
    others = MtebEncoder(untrained(encoder.clips), "tests/small")
    revisions = [one.mteb_model_meta.revision for one in (encoder, same, fewer, others)]
    assert revisions[0] == revisions[1]
    assert len(set(revisions)) == 3


TASK_FILE = """
from pathlib import Path
from tests.support.board import own_tasks

def Good():
    return own_tasks.classification(Path({folder!r}), "a2c")

def Bad():
    task = own_tasks.clustering(Path({folder!r}))
    rows = task.dataset["test"].to_list()
    rows[3]["audio"] = {{"bytes": b"RIFF, but nothing else", "path": "3.wav"}}
    columns = {{name: [row[name] for row in rows] for name in rows[0]}}
    task.dataset["test"] = own_tasks.of_media(columns)
    return task
"""


def test_the_command(trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "tasks.py", tmp_path / "new" / "scores.json"
    file.write_text(TASK_FILE.format(folder=str(tmp_path)))
    words = ["board", str(trained_run), "--out", str(out), "--results", str(tmp_path / "results")]
    assert main([*words, "--tasks", f"{file}:Good", f"{file}:Bad"]) == 1
    found = json.loads(out.read_text())
    [score] = found["scores"]
    assert (score["task"], score["metric"], score["score"]) == ("LocalA2C", "accuracy", 1.0)
    [failure] = found["failures"]
    assert failure["task"] == "LocalClustering"
    assert "LocalClustering, default, test, item 3: " in failure["reason"]
    printed = capfd.readouterr().out
    assert "LocalA2C  AudioClassification, test, default: accuracy 1.0000" in printed
    assert "failed: LocalClustering" in printed
    # What mteb stores for submissions.
    stored = list((tmp_path / "results").glob("results/*/*/LocalA2C.json"))
    assert [path.parent.name for path in stored] == [found["revision"]]


def test_the_command_lists_tasks(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["board", "--list", "--json"]) == 0
    listed = {one["task"]: one["category"] for one in json.loads(capfd.readouterr().out)}
    assert listed["BeijingOpera"] == "a2c"
    assert listed["VATEXV2ARetrieval"] == "v2a"
    assert not any("t" in category.split("2")[0] for category in listed.values())
    assert len(listed) >= 90


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "name --tasks or a --benchmark"),
        ([], "name a run folder"),
        (["RUN", "--tasks", "BeijingOperas"], "BeijingOpera"),
        (["RUN", "--tasks", "ClothoT2ARetrieval"], "needs text: see --list"),
        (["RUN", "--tasks", "none.py:Task"], "none.py"),
        (["RUN", "--tasks", "BeijingOpera", "--max-windows", "0"], "at least 1"),
        (["RUN", "--tasks", "BeijingOpera", "--name", "first"], "expected organization/model"),
        (["RUN", "--benchmark", "MTEB(eng, v2)"], "need text or images"),
        (["RUN", "--benchmark", "MAEBs"], "MAEBs"),
        (["/nonexistent", "--tasks", "BeijingOpera"], "/nonexistent"),
    ],
    ids=str,
)
def test_the_command_refuses(
    trained_run: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [str(trained_run) if word == "RUN" else word for word in words]
    assert main(["board", *words]) == 2
    assert message in capfd.readouterr().err


def test_tasks_of_a_benchmark_that_need_no_text() -> None:
    found = {task.metadata.name for task in tasks_named([], "MVEB(v1)")}
    assert {"VATEXV2ARetrieval", "Kinetics700VA"} <= found
    assert "HMDB51ZeroShot" not in found
