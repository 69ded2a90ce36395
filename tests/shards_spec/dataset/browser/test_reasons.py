"""What the overview and the table of movies say about dropped clips and cropped video."""

from __future__ import annotations

import json
import re

import pytest

from shards_spec.dataset.browser import Site
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
        ("320:136:0:22", 0, "320x136 of 320x180"),
        ("136:320:22:0", 90, "136x320 of 180x320"),
        ("", 0, ""),
    ],
)
def test_what_was_kept_is_shown_with_the_original_size(
    crop: str, rotation: int, expected: str
) -> None:
    movie = {"crop": crop, "video_width": 320, "video_height": 180, "rotation": rotation}
    assert kept_area(movie) == expected
    assert kept_area({**movie, "video_width": 0}) == expected.partition(" of ")[0]


def test_sorted_and_filtered_rows_come_from_the_index(site: Site) -> None:
    block = re.search(rb'id="table-data">(.*?)</script>', site.file("movies.html").data)
    assert block is not None
    data = json.loads(block[1])
    labels = [column["label"] for column in data["columns"]]
    rows = {row[0]: dict(zip([*labels, "filters"], row, strict=True)) for row in data["rows"]}
    assert rows["heat"]["dropped"] == 6
    assert rows["heat"]["cropped to"] == "40x32 of 48x32"
    assert rows["heat"]["sync"] == "starts +1.500 s, stretched +120.0 ppm"
    assert rows["heat"]["same as"] == [["copy", "same source"]]
    assert rows["heat"]["video missing"] == 0
    assert rows["broken"]["video missing"] is None
    of_drops = {"dropped", "dropped_black", "dropped_too_short"}
    assert set(rows["heat"]["filters"]) == of_drops | {"cropped", "filled", "synced", "copies"}
    assert of_drops <= {item["name"] for item in data["filters"]}
    assert "dropped_silent" not in {item["name"] for item in data["filters"]}
    assert rows["copy"]["filters"] == ["copies"]
    assert rows["dark"]["filters"] == ["failed"]
