"""Curves of runs: every format, unique names, and nothing in a name is markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards_spec.errors import InputError
from trainer.__main__ import main
from trainer.runs.plot_curves import plot, read_curves

NAMES = [
    *("plain", "<script>alert(1)</script>", "costs $5 and $6", "_hidden", "電影"),
    "a\x1b[31mred\u202e\nb",
]


def make_run(folder: Path, *, seed: int = 0) -> str:
    folder.mkdir(parents=True)
    lines = [
        {"step": step, "epoch": 0, "train/loss": 3.0 / (step + seed + 1), "optim/lr": 1e-3}
        for step in range(1, 6)
    ]
    lines[-1]["eval/v2a_within_movie_r1"] = 0.25
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 6, "tra')
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    safe = [name.replace("/", "\u2215") for name in NAMES]
    return [make_run(tmp_path / name, seed=seed) for seed, name in enumerate(safe)]


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_images(runs: list[str], tmp_path: Path, ending: str, magic: bytes) -> None:
    out = tmp_path / "new" / f"curves.{ending}"
    plot(runs, out)
    assert out.read_bytes().startswith(magic)


def test_a_page_has_the_last_values_and_no_markup_of_names(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "curves.html"
    assert main(["plot", *runs, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    page = out.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert page.count("<td>0.25</td>") == len(runs)
    assert "data:image/png;base64," in page


def test_runs_with_one_name_are_shown_with_their_paths(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / parent / "first") for parent in ("a", "b")]
    assert [curves.name for curves in read_curves(runs)] == [_shown(run) for run in runs]
    same = read_curves([runs[0], runs[0]])
    assert len({curves.name for curves in same}) == 2


def _shown(run: str) -> str:
    return run if len(run) <= 60 else f"...{run[-60:]}"


def test_what_cannot_be_drawn_is_rejected(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"must be \.png, \.svg or \.html"):
        plot([run], tmp_path / "curves.gif")
    with pytest.raises(InputError, match="has no metrics"):
        plot([run, str(tmp_path)], tmp_path / "curves.png")
    with pytest.raises(InputError, match="at least one run"):
        plot([], tmp_path / "curves.png")


@pytest.mark.usefixtures("legible")
@pytest.mark.parametrize(("count", "name"), [(1, "W" * 80), (33, "a")])
def test_the_legend_fits_whatever_the_names(tmp_path: Path, count: int, name: str) -> None:
    runs = [make_run(tmp_path / f"{number}{name}", seed=number) for number in range(count)]
    plot(runs, tmp_path / "curves.png")
