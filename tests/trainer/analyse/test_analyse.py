"""Planted structure, in descriptions and in datasets, is found, and leads to fitting advice."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.__main__ import main
from trainer.analyse.advice import advise
from trainer.analyse.analysis import Properties, analyse
from trainer.analyse.descriptors import Description, describe_plainly, within_movie
from trainer.analyse.diversity import diversity, effective_number, k_means
from trainer.analyse.recurrence import recurrence
from trainer.config import TrainConfig
from trainer.runs.scoring.embeddings import EmbeddedClips
from trainer.runs.scoring.probes import ProbeResult
from trainer.train import train

CLIP_SECONDS = 3.0


def planted(
    num_movies: int = 12,
    num_clips: int = 48,
    *,
    period: int = 0,
    still: bool = False,
    num_kinds: int = 0,
    shuffled: bool = True,
    shot: int = 1,
) -> Description:
    """Clips with random contents, and a look of its own for each movie.

    Args:
        period: clips this far apart show and sound the same; 0 for no repeats.
        still: all clips of a movie do.
        num_kinds: contents are so many kinds, with a lot of variation; movie n has kinds n, n + 1.
        shuffled: clips are not in the order of time, as in shards.
        shot: so many clips in a row are nearly the same.
    """
    generator = torch.Generator().manual_seed(7)
    noise = 0.05
    contents, movies, starts = [], [], []
    for movie in range(num_movies):
        content = torch.randn(num_clips, 40, generator=generator)
        number = torch.arange(num_clips)
        if period:
            content = content[:period][number % period]
        if shot > 1:
            content = content[number // shot]
        if still:
            content = content[:1].expand(num_clips, -1)
        if num_kinds:
            kinds = 3 * torch.randn(num_kinds, 40, generator=torch.Generator().manual_seed(0))
            own = (movie + number % 2) % num_kinds
            content = 0.3 * content + kinds[own]
        look = 5 * torch.randn(1, 40, generator=generator)
        content = content + look + noise * torch.randn(num_clips, 40, generator=generator)
        order = torch.randperm(num_clips, generator=generator) if shuffled else number
        contents.append(content[order])
        starts.append(order * CLIP_SECONDS)
        movies.append(torch.full((num_clips,), movie))
    values = torch.cat(contents)
    video, audio = values[:, :20].contiguous(), values[:, 20:].contiguous()
    clips = EmbeddedClips(video, audio, video, audio, torch.arange(len(values)), torch.cat(movies))
    return Description("statistics", clips, torch.cat(starts).double())


def test_repeats_are_found_at_their_distance_only() -> None:
    found = recurrence(planted(period=12))
    assert found is not None
    # Clips 12, 24 and 36 later are the same: 36, 72 and 108 seconds.
    by_range = {item.low_s: item for item in found.by_gap}
    assert sum(item.num_pairs for item in found.by_gap) == 12 * 48 * 47 // 2
    # 20 to 40 s has 7 distances in clips, 7 to 13, one of them a repeat.
    pairs = {gap: 48 - gap for gap in range(7, 14)}
    assert by_range[20.0].rates["video"] == pytest.approx(36 / sum(pairs.values()), abs=0.002)
    assert by_range[20.0].rates["both"] == pytest.approx(36 / sum(pairs.values()), abs=0.002)
    for low in (0.0, 5.0, 10.0):
        assert by_range[low].rate < 0.002
    assert found.returning["video"] == pytest.approx(36 / 48, abs=0.01)
    assert found.return_seconds["audio"] == pytest.approx(36.0)
    assert found.other_movies["video"] < 0.002
    # Of the 47 others of a clip, on average 3 are repeats; a batch of k = 48 has all of them.
    assert found.false_negatives(48, 0.0) == pytest.approx(3.0, abs=0.05)
    assert found.false_negatives(48, 40.0) < found.false_negatives(48, 20.0)


def test_without_repeats_there_are_none() -> None:
    found = recurrence(planted())
    assert found is not None
    assert max(item.rate for item in found.by_gap) < 0.002
    assert found.returning["video"] < 0.02
    assert math.isnan(found.return_seconds["video"]) or found.return_seconds["video"] >= 20


def test_movies_that_show_one_thing_repeat_it_all_the_time() -> None:
    found = recurrence(planted(still=True))
    assert found is not None
    assert min(item.rate for item in found.by_gap) > 0.99
    advice = advise({"video": probe(0.9)}, None, found, 48)
    assert (advice.clips_per_movie, advice.within_mass) == (2, 0.0)


def test_long_shots_ask_for_a_guard() -> None:
    found = recurrence(planted(shot=4))
    assert found is not None
    assert found.by_gap[0].rates["video"] > 0.7, "three of four neighbors are of the same shot"
    advice = advise({"video": probe(0.9)}, None, found, 48)
    # A shot lasts 12 s; its first and last clips are 9 s apart.
    assert advice.guard_seconds == 10.0
    assert advise({"video": probe(0.9)}, None, recurrence(planted()), 48).guard_seconds == 0.0


def test_the_effective_number_of_clusters_counts_kinds() -> None:
    assert effective_number(torch.tensor([3, 3, 3, 3]).numpy()) == pytest.approx(1.0)
    assert effective_number(torch.tensor([0, 1, 2, 3]).numpy()) == pytest.approx(4.0)
    two = diversity(planted(num_kinds=6))
    assert two is not None
    all_ = diversity(planted())
    assert all_ is not None
    assert all_.ratio > 0.8, "movies as diverse as the corpus"
    assert two.ratio < 0.7 * all_.ratio
    points = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
    first, second, third, fourth = k_means(points, 2).tolist()
    assert first == second != third == fourth
    assert len(set(k_means(torch.zeros(10, 2), 3).tolist())) == 1


def probe(accuracy: float) -> ProbeResult:
    return ProbeResult(
        accuracy=accuracy, chance=0.02, num_classes=50, num_train_clips=9, num_eval_clips=9
    )


def test_advice_follows_the_properties() -> None:
    plain = recurrence(planted())
    advice = advise({"video": probe(0.9), "audio": probe(0.5)}, None, plain, 200)
    assert (advice.clips_per_movie, advice.within_mass) == (64, 0.5)
    assert advice.flags() == "--policy.clips-per-movie 64 --loss.within-mass 0.5"
    assert advise({"video": probe(0.9)}, None, plain, 20).clips_per_movie == 8
    unknown = advise({"video": probe(0.03), "audio": probe(0.02)}, None, plain, 200)
    assert (unknown.clips_per_movie, unknown.within_mass) == (2, 0.0)
    assert "too rarely" in unknown.reasons[0]
    often = advise({"video": probe(0.9)}, None, recurrence(planted(period=6)), 200)
    assert often.clips_per_movie < 64
    assert often.false_negatives <= 1.0
    assert advise({}, None, None, 1).clips_per_movie == 1


def test_a_look_is_taken_out_of_the_content() -> None:
    description = planted(num_movies=3, num_clips=20)
    content = within_movie(description.clips.video, description.clips.movie)
    shifted = description.clips.video + 100 * description.clips.movie[:, None]
    moved = within_movie(shifted, description.clips.movie)
    # Looks count in the floor of the scale only.
    assert torch.nn.functional.cosine_similarity(content, moved).min() > 0.95
    constant = torch.zeros(6, 4)
    assert within_movie(constant, torch.zeros(6, dtype=torch.int64)).isfinite().all()


def test_a_dataset_is_described_in_the_order_of_its_times(toy_data: Dataset) -> None:
    description = describe_plainly(toy_data)
    assert len(description.clips.clip) == 160
    start_ns = toy_data.clips["start_ns"].take(description.clips.clip.numpy()).to_pylist()
    assert description.start_s.tolist() == pytest.approx([start / 1e9 for start in start_ns])
    found = Properties.of(toy_data, description)
    # Every toy movie has its own tint, and one of 8 classes, each of which comes twice.
    assert found.consistency["video"].accuracy > 0.9
    assert found.recurrence is not None
    assert sum(item.num_pairs for item in found.recurrence.by_gap) == 10 * 16 * 15 // 2


@pytest.mark.usefixtures("legible")
def test_the_command_writes_text_json_and_a_page(
    toy_data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "analysis.html"
    uri = toy_data.storage.uri
    assert main(["analyse", uri, "--out", str(page)]) == 0
    text = capsys.readouterr().out
    assert "Suggested to begin with: --policy.clips-per-movie" in text
    assert "160 of 160 clips, of 10 movies" in text
    html = page.read_text()
    assert html.count("<img alt=") == 3
    assert "http" not in html.replace(uri, "")
    assert main(["analyse", uri, "--out", "", "--json", "--max-clips", "40"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["num_movies"] == 2
    assert values["properties"][0]["name"] == "statistics"
    assert main(["analyse", uri, "--out", str(tmp_path / "a.txt")]) == 2
    assert "must be .html" in capsys.readouterr().err


def test_a_run_adds_its_features(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    trained_run = tmp_path / "run"
    train(toy_data.storage.uri, trained_run, dataclasses.replace(tiny_config, stop_at_step=1))
    found = analyse(toy_data.storage.uri, str(trained_run), max_clips=80)
    assert [item.name for item in found.properties] == ["statistics", "features"]
    assert found.properties[1].consistency["video"].num_classes == 5
    with pytest.raises(InputError, match="is not a run folder"):
        analyse(toy_data.storage.uri, str(trained_run / "checkpoints"))
