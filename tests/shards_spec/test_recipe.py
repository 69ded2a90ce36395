"""Recipes: rejected values, derived numbers, time on the grid, the fingerprint."""

import dataclasses
import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards_spec.errors import InputError
from shards_spec.recipe import Recipe, fingerprint_of


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_frames", 0),
        ("fps", 0.0),
        ("fps", 300.0),
        ("overlap_frames", 16),
        ("short_side", 100),
        ("short_side", 0),
        ("short_side", 4112),
        ("jpeg_quality", 101),
        ("sample_rate_hz", 100),
        ("n_mels", 0),
        ("hop_ms", 30.0),
        ("hop_ms", 0.0),
        ("hop_ms", 0.01),
        ("hop_ms", float("nan")),
        ("window_ms", float("inf")),
        ("fps", "5"),
        ("fps", True),
        ("num_frames", 8.0),
        ("store_audio", 1),
        ("language", None),
        ("mel_high_hz", 9_000.0),
        ("mel_low_hz", 8_000.0),
        ("shard_bytes", 0),
    ],
)
def test_rejects(field, value):
    with pytest.raises(InputError, match="recipe: "):
        Recipe(**{field: value})


@pytest.mark.parametrize("fps", [5, Fraction(5), np.float32(5), np.int64(5)])
def test_equal_numbers_of_any_type_make_the_same_recipe(fps):
    recipe = Recipe(fps=fps, num_frames=np.int64(16))
    assert recipe == Recipe()
    assert (type(recipe.fps), type(recipe.num_frames)) == (float, int)
    assert recipe.fingerprint == Recipe().fingerprint


def test_default_numbers():
    recipe = Recipe()
    assert recipe.clip_samples == 51_200
    assert (recipe.window_samples, recipe.hop_samples, recipe.n_fft) == (400, 160, 512)
    assert recipe.num_mel_frames == 320
    assert recipe.stride_frames == 16


def test_n_fft_is_the_window_when_that_is_a_power_of_two():
    assert Recipe(window_ms=32.0).n_fft == 512


@pytest.mark.parametrize(
    ("fps", "step", "expected_ns"),
    [
        (5.0, 16, 3_200_000_000),
        (23.976, 24, 1_001_000_000),
        (24000 / 1001, 24, 1_001_000_000),
        (29.97, 1, 33_366_667),
        (3.0, 1, 333_333_333),
        (12.34, 1234, 100_000_000_000),
        (0.1, 1, 10_000_000_000),
    ],
)
def test_grid(fps, step, expected_ns):
    assert Recipe(fps=fps).grid_ns(step) == expected_ns


@given(st.integers(0, 10**6))
def test_grid_does_not_drift(step):
    assert Recipe(fps=23.976).grid_ns(24_000 * step) == 1_001 * step * 10**9


def test_json_round_trip():
    recipe = Recipe(language="eng", fps=4.0)
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    "values", [{"num_frames": "16"}, {"crop_bars": 1}, {"seed": True}, {"seed": 0.5}]
)
def test_json_rejects_wrong_types(values):
    with pytest.raises(InputError, match=next(iter(values))):
        Recipe.from_json(values)


def test_json_rejects_unknown_settings():
    with pytest.raises(InputError, match="newer reelshards"):
        Recipe.from_json({"colour": "red"})


def test_fingerprint_changes_with_every_field():
    base = Recipe()
    changes = {
        "num_frames": 8, "fps": 4.0, "overlap_frames": 1, "short_side": 64, "jpeg_quality": 80,
        "crop_bars": False, "sample_rate_hz": 22_050, "n_mels": 64, "window_ms": 20.0,
        "hop_ms": 8.0,
        "mel_low_hz": 0.0, "mel_high_hz": 7_000.0, "store_audio": True, "language": "en",
        "black_luma": 1.0, "silent_dbfs": -60.0, "frozen_motion": 0.1, "shot_threshold": 30.0,
        "shard_bytes": 1, "seed": 1, "clips": "shots",
        "fast_decode": True, "clips_per_movie": 5.0,
    }  # fmt: skip
    assert set(changes) == {item.name for item in dataclasses.fields(Recipe)}
    prints = {Recipe(**{name: value}).fingerprint for name, value in changes.items()}
    assert len(prints | {base.fingerprint}) == len(changes) + 1


def test_recipes_from_before_a_setting_keep_their_fingerprints():
    values = Recipe(fps=4.0).to_json()
    assert "fast_decode" not in values
    assert Recipe.from_json(values) == Recipe(fps=4.0)
    assert Recipe().fingerprint == "e50866bb7bc11945"
    fast = Recipe(fast_decode=True)
    assert Recipe.from_json(fast.to_json()) == fast


def test_fingerprint_is_the_same_for_integers_and_equal_floats():
    assert Recipe(fps=5).fingerprint == Recipe(fps=5.0).fingerprint


def test_fingerprint_is_of_canonical_json():
    assert fingerprint_of({"b": 1, "a": 2.0}) == fingerprint_of({"a": 2.0, "b": 1})
    assert Recipe().fingerprint == fingerprint_of(Recipe().to_json())


@pytest.mark.parametrize("value", [-1, -0.5, 1.5, 20.25, float("nan"), float("inf")])
def test_rejects_impossible_numbers_of_clips(value):
    with pytest.raises(InputError, match="recipe: "):
        Recipe(clips_per_movie=value)


def test_recipes_that_want_all_clips_keep_their_fingerprint():
    assert Recipe().fingerprint == "e50866bb7bc11945"
    assert "clips_per_movie" not in Recipe(clips_per_movie=0).to_json()
    few = Recipe(clips_per_movie=20)
    assert few.to_json()["clips_per_movie"] == 20.0
    assert Recipe.from_json(few.to_json()) == few
    assert few.fingerprint not in (Recipe().fingerprint, Recipe(clips_per_movie=21).fingerprint)


@pytest.mark.parametrize(
    ("clips_per_movie", "num_clips", "expected"),
    [
        (0, 7, 7),
        (3, 7, 3),
        (7, 7, 7),
        (8, 7, 7),
        (0.1, 7, 1),
        (0.5, 7, 4),
        (0.5, 5, 2),
        (0.99, 9, 9),
    ],
)
def test_how_many_clips_are_chosen(clips_per_movie, num_clips, expected):
    recipe = Recipe(clips_per_movie=clips_per_movie)
    assert len(recipe.chosen_clips("m", num_clips)) == recipe.num_chosen(num_clips) == expected


@given(
    wanted=st.integers(1, 60),
    num_clips=st.integers(1, 300),
    seed=st.integers(0, 99),
    movie_id=st.sampled_from(["a", "b", "c"]),
)
def test_chosen_clips_are_spread_evenly(wanted, num_clips, seed, movie_id):
    recipe = Recipe(clips_per_movie=wanted, seed=seed)
    chosen = list(recipe.chosen_clips(movie_id, num_clips))
    assert chosen == list(recipe.chosen_clips(movie_id, num_clips))
    steps = np.diff([*chosen, chosen[0] + num_clips])
    assert steps.max() - steps.min() <= 1
    assert chosen[0] >= 0
    assert chosen[-1] < num_clips
    flags = [recipe.is_chosen(movie_id, num_clips, at) for at in range(-2, num_clips + 2)]
    assert [at - 2 for at, flag in enumerate(flags) if flag] == chosen


def test_the_choice_follows_the_specification():
    """h for `0 m`, as in section 6."""
    digest = hashlib.sha256(b"0 m").digest()
    h = int.from_bytes(digest[:8], "little")
    expected = tuple((k * 2**64 + h) * 100 // (4 * 2**64) for k in range(4))
    assert Recipe(clips_per_movie=4).chosen_clips("m", 100) == expected
    firsts = {Recipe(clips_per_movie=4, seed=s).chosen_clips("m", 100)[0] for s in range(200)}
    assert firsts == set(range(25)), "every clip may be chosen"
