"""The command `transfer`, from files in a data set's own layout to figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reelshards.commands import main
from tests.support.films.media import Film, make_film

RATE = 8_000


def write_esc50(root: Path) -> Path:
    """Two classes that differ in pitch, in two folds; one file is missing and one is damaged."""
    (root / "meta").mkdir()
    (root / "audio").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    random = np.random.default_rng(0)
    for number in range(14):
        label, name = ("high", "low")[number % 2], f"{number}.wav"
        lines.append(f"{name},{number // 7 + 1},{number % 2},{label},False,{number},A")
        hertz = {"high": 2_000, "low": 200}[label] * random.uniform(0.9, 1.1)
        times = np.arange(round(RATE * random.uniform(0.3, 5))) / RATE
        tone = 0.5 * np.sin(2 * np.pi * hertz * times) + 0.01 * random.normal(size=len(times))
        if number != 3:
            soundfile.write(root / "audio" / name, tone, RATE)
    (root / "audio/5.wav").write_bytes(b"RIFF, but nothing else")
    (root / "meta/esc50.csv").write_text("\n".join(lines) + "\n")
    return root


def test_sounds_of_two_pitches(
    trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = write_esc50(tmp_path)
    out = tmp_path / "new" / "result.json"
    words = ["transfer", str(trained_run), "--task", "esc50", "--root", str(root)]
    words += ["--probes", "knn", "linear", "finetune", "--windows", "2", "--neighbors", "3"]
    words += ["--epochs", "2", "--batch-size", "4", "--seeds", "2", "--out", str(out)]
    # Files are missing: the exit code says so.
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 1
    found = json.loads(out.read_text())
    assert found["missing"] == ["3.wav"]
    assert [bad["name"] for bad in found["unreadable"]] == ["5.wav"]
    assert found["folds"]["1"] == {"train_listed": 7, "test_listed": 7, "train": 7, "test": 5}
    assert found["protocol"]["windows"] == 2
    measured = [(m["probe"], m["fold"], m["seed"]) for m in found["measured"]]
    assert measured == [
        (probe, fold, seed)
        for fold in ("1", "2")
        for probe, seeds in (("knn", [None]), ("linear", [None]), ("finetune", [0, 1]))
        for seed in seeds
    ]
    summary = {one["probe"]: one for one in found["summary"]}
    assert summary["knn"]["mean"]["top1"] == 1.0
    assert summary["linear"]["mean"]["top1"] == 1.0
    # One fold lacks 2 of 7 test files.
    assert summary["knn"]["metric_if_missing_are_wrong"] == pytest.approx((5 / 7 + 1) / 2)
    assert summary["knn"]["sd_folds"]["top1"] == 0.0
    assert summary["knn"]["sd_seeds"]["top1"] is None
    assert summary["finetune"]["sd_seeds"]["top1"] is not None
    printed = capfd.readouterr().out
    assert "14 files in 2 classes, 2 folds; 1 missing, 1 unreadable" in printed
    assert "| CrissCross, ResNet-18 | AudioSet |" in printed
    assert "5.wav: " in printed
    assert len(list((tmp_path / "cache").iterdir())) == 12


def test_what_cannot_be_measured_is_refused(
    trained_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["transfer", str(trained_run), "--task", "esc50", "--root", str(tmp_path)]
    assert main(words) == 2
    assert "has no meta/esc50.csv" in capfd.readouterr().err
    root = write_esc50(tmp_path)
    assert main([*words, "--folds", "9"]) == 2
    assert "folds 9 do not exist" in capfd.readouterr().err
    assert main([*words, "--out", "/dev/null/result.json"]) == 2
    assert "--out /dev/null/result.json cannot be written" in capfd.readouterr().err
    for path in (root / "audio").iterdir():
        path.write_bytes(b"damaged")
    assert main(words) == 2
    assert "fold 1 has 0 usable training files" in capfd.readouterr().err


@pytest.mark.slow
def test_clips_with_video_and_audio(trained_run: Path, tmp_path: Path) -> None:
    """VGGSound's layout: colors are the classes; one clip has no audio and is named."""
    tints = {"red": (200, 30, 30), "blue": (30, 30, 200)}
    lines = []
    (tmp_path / "video").mkdir()
    for number in range(12):
        label = ("red", "blue")[number % 2]
        lines.append(f"-v{number}_,{number},{label},{'train' if number < 8 else 'test'}")
        audio = () if number == 10 else ("-c:a", "aac")
        film = Film(seconds=2 + number % 3, width=96, height=64, tint=tints[label], audio=audio)
        make_film(tmp_path / f"video/-v{number}__{number:06d}.mp4", film)
    (tmp_path / "vggsound.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "result.json"
    words = ["transfer", str(trained_run), "--task", "vggsound", "--root", str(tmp_path)]
    words += ["--out", str(out), "--windows", "2", "--neighbors", "3", "--seeds", "1"]
    words += ["--epochs", "2", "--batch-size", "4", "--probes", "knn", "linear", "finetune"]
    assert main(words) == 1
    found = json.loads(out.read_text())
    assert [bad["name"] for bad in found["unreadable"]] == ["-v10__000010"]
    assert "no audio stream" in found["unreadable"][0]["reason"]
    means = {(s["probe"], s["modality"]): s["mean"]["top1"] for s in found["summary"]}
    assert set(means) == {(p, m) for p in ("knn", "linear", "finetune") for m in
                          ("video", "audio", "both")}  # fmt: skip
    assert means["linear", "video"] == means["linear", "both"] == 1.0
    # Video alone does not need audio; the same run without training differs.
    assert main([*words, "--modalities", "video", "--untrained", "--json"]) == 0
    again = json.loads(out.read_text())
    assert again["run"] == "untrained"
    assert again["unreadable"] == []
