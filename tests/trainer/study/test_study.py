"""A complete study on tiny data: runs, page, resumption, rejected input."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from tests.support.studies import CONFIG, SMALL, study
from trainer.config import TrainConfig
from trainer.study.cells import load_result
from trainer.study.config import StudyConfig, StudyCorpus
from trainer.study.findings.summary import FIGURES, figure_value
from trainer.study.runner import StudyError


class Page(HTMLParser):
    """Images, and tags that were opened but not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values.get("src") or "")
        elif tag not in ("br", "meta", "rect"):
            self.open.append(tag)
        self.links += [values[name] or "" for name in ("href", "src") if name in values]

    def handle_endtag(self, tag: str) -> None:
        if tag == "rect":
            return
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.handle_starttag(tag, attrs)


def require_whole(folder: Path, config: StudyConfig) -> None:
    """The result of one run has all that the study reads, and its parts agree."""
    binding = json.loads((folder / "result.json").read_text())["binding"]
    result = load_result(folder, binding)
    assert result is not None
    assert set(result.evaluation["class_probe"]) == {"video", "audio"}
    for figure in FIGURES:
        measured = figure_value(result.evaluation, figure)
        if measured is not None:
            totals = result.by_movie[figure.key].values()
            mean = sum(total for total, _ in totals) / sum(count for _, count in totals)
            assert mean == pytest.approx(measured, abs=1e-6)
    source = result.cell.setting.source
    assert result.evaluation["steps_done"] == (config.steps if source == "training" else 0)
    if source == "training":
        assert len(result.curves["train/loss"]) == len(result.curves["step"]) == config.steps
    has_pairs = source != "statistics"
    assert bool(result.evaluation["retrieval"]["results"]) == has_pairs
    kinds = {one["kind"] for one in result.similarities}
    assert kinds >= {"positive", "other movie"} if has_pairs else kinds == set()


@pytest.mark.parametrize(
    ("config", "num_runs"),
    [
        # Two baselines, k = 2, and k = 2 without its negatives; and k = 1, with two seeds.
        pytest.param(SMALL, 4, id="small"),
        pytest.param(CONFIG, 10, id="whole", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("legible")
def test_a_study_compares_reports_and_resumes(
    config: StudyConfig,
    num_runs: int,
    corpora: list[StudyCorpus],
    recipe: TrainConfig,
    tmp_path: Path,
) -> None:
    run = tmp_path / "study"
    outcome = study(corpora, run, recipe, config)
    values = json.loads((run / "study.json").read_text())
    assert values["num_runs"] == num_runs
    assert {row["num_seeds"] for row in values["rows"]} == {config.seeds}
    jobs = [path.parent for path in run.glob("*/*/result.json")]
    assert len(jobs) == num_runs
    for folder in jobs:
        require_whole(folder, config)
    page = Page()
    page.feed((run / "study.html").read_text())
    assert page.open == []
    assert len(page.images) > 10
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "Negatives from the same movie help" in (run / "study.md").read_text()
    if config is CONFIG:
        assert "without training" in outcome.verdict.headline
        require_a_summary_without_one_seed(run, corpora, recipe)
    with pytest.raises(InputError, match="nothing can be compared"):
        study(corpora, tmp_path / "empty", recipe, config, finished_only=True)
    stamps = {path: path.stat().st_mtime_ns for path in run.glob("*/*/result.json")}
    again = study(corpora, run, recipe, config)
    assert again.verdict == outcome.verdict
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def require_a_summary_without_one_seed(
    run: Path, corpora: list[StudyCorpus], recipe: TrainConfig
) -> None:
    """Without one seed of a setting, the rest is summarized; and nothing is run."""
    last = run / "main" / "k002-weight1-none-clip-seed1" / "result.json"
    last.rename(run / "kept.json")
    partial = study(corpora, run, recipe, CONFIG, finished_only=True)
    assert sorted(row.num_seeds for row in partial.summary.rows) == [1, 2, 2, 2, 2]
    (run / "kept.json").rename(last)


@pytest.mark.slow
def test_results_of_another_study_are_rejected_naming_each_difference(
    corpora: list[StudyCorpus],
    recipe: TrainConfig,
    tmp_path: Path,
    make_toy_dataset: Callable[..., Dataset],
) -> None:
    run = tmp_path / "study"
    small = dataclasses.replace(CONFIG, comparisons=("weight",), seeds=1)
    study(corpora[:1], run, recipe, small)
    longer = dataclasses.replace(small, steps=6)
    with pytest.raises(InputError, match=r"result\.json was measured with .*steps: 4 became 6;"):
        study(corpora[:1], run, recipe, longer)
    optimizer = dataclasses.replace(recipe.optimizer, lr=0.5)
    with pytest.raises(InputError, match=r"optimizer\.lr: 0\.001 became 0\.5;"):
        study(corpora[:1], run, dataclasses.replace(recipe, optimizer=optimizer), small)
    labels = corpora[0].labels
    assert labels is not None
    text = labels.read_text()
    labels.write_text(text.replace(",b", ",c"))
    with pytest.raises(InputError, match=r"labels fingerprint: '[0-9a-f]+' became '[0-9a-f]+'"):
        study(corpora[:1], run, recipe, small)
    labels.write_text(text)
    # The number of seeds does not affect any single run: existing results are used.
    more = study(corpora[:1], run, recipe, dataclasses.replace(small, seeds=2))
    assert {row.num_seeds for row in more.summary.rows} == {2}
    make_toy_dataset(str(tmp_path / "main"), num_movies=9, clips_per_movie=8)
    with pytest.raises(InputError, match="dataset fingerprint: "):
        study(corpora[:1], run, recipe, small)


@pytest.mark.slow
@pytest.mark.usefixtures("legible")
def test_one_comparison_alone_gives_its_effect_and_a_page(
    corpora: list[StudyCorpus], recipe: TrainConfig, tmp_path: Path
) -> None:
    for name in ("weight", "positives"):
        alone = dataclasses.replace(CONFIG, comparisons=(name,), seeds=2)
        outcome = study(corpora[:1], tmp_path / name, recipe, alone)
        (effect,) = outcome.summary.effects
        assert outcome.verdict.best is None
        assert effect.name in outcome.verdict.headline
        page = Page()
        page.feed((tmp_path / name / "study.html").read_text())
        assert page.open == []
        assert len(page.images) > 3


@pytest.mark.slow
def test_parallel_runs_have_the_same_results_also_after_a_failed_run(
    corpora: list[StudyCorpus], recipe: TrainConfig, tmp_path: Path
) -> None:
    small = dataclasses.replace(CONFIG, comparisons=("curve", "corpora"))
    one = study(corpora, tmp_path / "one", recipe, small)
    run, parallel = tmp_path / "two", dataclasses.replace(small, workers=2)
    broken = run / "main" / "k002-weight1-none-clip-seed0"
    broken.parent.mkdir(parents=True)
    broken.write_text("a file where the folder should be")
    with pytest.raises(StudyError, match=r"k002-weight1-none-clip-seed0 failed: FileExistsError"):
        study(corpora, run, recipe, parallel)
    broken.unlink()
    two = study(corpora, run, recipe, parallel)
    assert one.summary.to_json() == two.summary.to_json()
    assert "| other | k = 1 |" in (run / "study.md").read_text()
    assert re.search(r"k = 2 instead of 1, other", two.summary.to_markdown())


def test_unsuitable_corpora_are_rejected_before_the_first_run(
    corpora: list[StudyCorpus], recipe: TrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "study"
    large = dataclasses.replace(CONFIG, batch_size=64, clips_per_movie=(1, 64), middle_clips=4)
    with pytest.raises(InputError, match="movies"):
        study(corpora, run, recipe, large)
    with pytest.raises(InputError, match="different names"):
        study([corpora[0], corpora[0]], run, recipe, CONFIG)
    assert not run.exists()
