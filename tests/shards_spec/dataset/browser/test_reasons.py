"""What the overview and the table of movies say about dropped clips and cropped video."""

from __future__ import annotations

import pytest

from shards_spec.dataset.browser.pages.movies import kept_area
from shards_spec.dataset.browser.reasons import REASONS, drop_meaning
from shards_spec.recipe import Recipe


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_reasons_name_the_thresholds_of_the_recipe(reason: str) -> None:
    changed = {"black_luma": 33.5, "silent_dbfs": -44.25, "frozen_motion": 0.125}
    recipe = {**Recipe().to_json(), **changed}
    thresholds = {"black": "33.5", "silent": "-44.25", "frozen": "0.125"}
    shown = drop_meaning(reason, recipe)
    assert shown
    assert "{" not in shown
    assert thresholds.get(reason, "") in shown
    assert drop_meaning("unknown", recipe) == ""


@pytest.mark.parametrize(
    ("crop", "rotation", "expected"),
    [
        ("320:136:0:22", 0, "320 x 136 of 320 x 180"),
        ("136:320:22:0", 90, "136 x 320 of 180 x 320"),
        ("", 0, ""),
    ],
)
def test_what_was_kept_is_shown_with_the_original_size(
    crop: str, rotation: int, expected: str
) -> None:
    movie = {"crop": crop, "video_width": 320, "video_height": 180, "rotation": rotation}
    assert kept_area(movie) == expected
    assert kept_area({**movie, "video_width": 0}) == expected.partition(" of ")[0]
