"""Locations are taken from tables of any chunks, in any order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from trainer.data.fetch.clip_location import ClipLocation, ClipRows


def table(num_rows: int) -> pa.Table:
    """Clips whose columns all say their row."""
    numbers = list(range(num_rows))
    texts = [f"row {number}" for number in numbers]
    is_text = {"clip_id", "movie_id", "shard"}
    fields = (*ClipLocation._fields, "luma")
    return pa.table({name: texts if name in is_text else numbers for name in fields})


@pytest.mark.parametrize("sizes", [[20], [7, 13], [0, 5, 0, 0, 14, 1, 0]])
@pytest.mark.parametrize("rows", [[3], [19, 0, 5, 4, 6, 18], [8, 8, 2, 8], list(range(20))])
def test_rows_come_in_the_given_order(sizes: list[int], rows: list[int]) -> None:
    whole, stops = table(20), np.cumsum(sizes)
    chunks = [whole.slice(int(stop) - size, size) for size, stop in zip(sizes, stops, strict=True)]
    locations = ClipRows(pa.concat_tables(chunks)).take(np.array(rows))
    assert [location.clip_id for location in locations] == [f"row {row}" for row in rows]
    assert [(location.tar_offset, location.start_ns) for location in locations] == [
        (row, row) for row in rows
    ]
    assert all(type(location.tar_bytes) is int for location in locations)
