"""Values that nobody expects, by the type that was expected."""

from __future__ import annotations

import math
import random
from typing import Any

import pyarrow as pa

#: Written as they are where JSON is expected.
JSON_TEXTS = (
    "",
    "null",
    "[]",
    "{}",
    '{"recipe": ',
    "[" * 100_000,
    '{"recipe":' * 20_000,
    "\ufeff{}",
    '{"recipe": NaN}',
    '{"recipe": {}, "spec_version": "1.0"}',
    '{"recipe": {}, "spec_version": "1.0", "recipe": {"fps": 1e999}}',
    '{"recipe": {"num_frames": 1e400}, "spec_version": "1.0"}',
    "\x00" * 5_000,
    " " * 1_000_000,
    '"' + "x" * 1_000_000,
)


def json_value(rng: random.Random) -> Any:
    """A value for a key of a JSON object; infinities and NaN are not valid JSON."""
    return rng.choice(
        [
            *(None, True, False, -1, 0, 1, 2**31, 2**63, -(2**63), 10**400, 10**4000),
            *(0.0, -0.0, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf, 0.1),
            *("", "1", "../../etc/passwd", "\x1b[31m[/x]", "x" * 1_000_000, "\udcff", "\x00"),
            *([], {}, [1], {"a": 1}, [[]] * 3, {"": None}),
            nested(rng.choice([50, 500, 900])),
        ]
    )


def nested(depth: int) -> Any:
    """A list in a list in a list ..."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def column_value(kind: pa.DataType, rng: random.Random) -> Any:
    """A value for a column of a table that it can hold."""
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if pa.types.is_unsigned_integer(kind):
            low, high = 0, 2**bits - 1
        numbers = (low, high, -1, 0, 1, 511, 512, 2**31 - 1, 2**31 - 16, 2**40, 2**62, high // 2)
        return rng.choice([number for number in numbers if low <= number <= high])
    if pa.types.is_floating(kind):
        floats = (math.nan, math.inf, -math.inf, 1e308, -1e308, 1e38, 1e-320, -0.0, 0.0, 1e-45)
        return rng.choice(floats)
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    return rng.choice(
        [
            *("", ".", "..", "/", "../../outside/secret.txt", "/etc/passwd", "a/b", "a\x00b"),
            *("\x1b]0;title\x07", "[/x]", "[link=javascript:x]y[/link]", "\u202e", "x" * 3_000_000),
            *("movie-000", "movie-001_000003", "shards/movie-000/movie-000-00000.tar"),
            *("shards/movie-001/movie-001-99999.tar", "shards/movie-001/movie-001-\u0663.tar"),
            *("shards/movie-001/../movie-000/movie-000-00000.tar", "done", "\n", "%2e%2e/x"),
        ]
    )


def other_type(kind: pa.DataType, rng: random.Random) -> pa.DataType:
    """Another type for a column."""
    kinds = [
        *(pa.string(), pa.large_string(), pa.binary(), pa.bool_(), pa.int8(), pa.uint64()),
        *(pa.float16(), pa.float64(), pa.decimal128(38, 0), pa.timestamp("ns"), pa.null()),
        *(pa.list_(kind), pa.struct([("a", kind)]), pa.dictionary(pa.int32(), pa.string())),
        pa.map_(pa.string(), kind),
    ]
    return rng.choice([other for other in kinds if other != kind])
