"""Datasets as nobody should hand them over: a whole dataset with one thing changed, by seed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shards_spec import layout
from shards_spec.dataset.reader import Dataset, open_dataset
from tests.support.datasets.toy_dataset import write_toy_dataset
from tests.support.hostile.clip_bytes import damage_clip
from tests.support.hostile.objects import replace_object
from tests.support.hostile.tables import damage_table
from tests.support.hostile.values import JSON_TEXTS, json_value

#: In a file outside of every dataset; it must never be shown.
SECRET = "canary-7f3a"


def make_clean(folder: Path) -> Dataset:
    """The dataset that mutants are made from, with a secret file next to its objects."""
    data = write_toy_dataset(
        str(folder), num_movies=4, clips_per_movie=8, num_failed=1, shard_bytes=20_000
    )
    (folder / "secret.txt").write_text(f"{SECRET}\n" * 100)
    return data


def make_mutant(clean: Path, folder: Path, seed: int) -> str:
    """Copy a dataset to `folder` and change one thing; returns what was done."""
    rng = random.Random(seed)
    shutil.copytree(clean, folder, ignore=shutil.ignore_patterns("secret.txt"))
    way = rng.choice(WAYS)
    return f"{seed} {way.__name__.strip('_')}: {way(folder, clean, rng)}"


def _json(folder: Path, clean: Path, rng: random.Random) -> str:
    path = folder / layout.DATASET_JSON
    if rng.random() < 0.3:
        text = rng.choice(JSON_TEXTS)
        path.write_text(text)
        return f"{text[:30]!r}"
    info = json.loads(path.read_text())
    target: dict[str, Any] = rng.choice([info, info["recipe"], info["recipe"], info["totals"]])
    name = rng.choice([*target, "unknown"])
    if rng.random() < 0.2:
        target.pop(name, None)
        said = f"without {name}"
    else:
        target[name] = json_value(rng)
        said = f"{name} = {target[name]!r:.40}"
    path.write_bytes(json.dumps(info).encode("utf-8", "surrogatepass"))
    return said


def _tables(folder: Path, clean: Path, rng: random.Random) -> str:
    commit = layout.commit_key("movie-001")
    keys = [layout.CLIPS_PARQUET] * 3 + [layout.MOVIES_PARQUET] * 2 + [commit]
    key = rng.choice(keys)
    return f"{key}: {damage_table(folder / key, rng)}"


def _bytes(folder: Path, clean: Path, rng: random.Random) -> str:
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    way = rng.choice(["flipped", "cut", "zeros", "doubled", "random"])
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice([1, 8, 600]))
    if way == "flipped":
        data[start] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del data[start:]
    elif way == "zeros":
        data[start:end] = bytes(end - start)
    elif way == "doubled":
        data += bytes(data)
    else:
        data[start:end] = rng.randbytes(end - start)
    path.write_bytes(data)
    return f"{path.relative_to(folder)}: {way} at {start}"


def _objects(folder: Path, clean: Path, rng: random.Random) -> str:
    return replace_object(folder, clean, rng)


def _clips(folder: Path, clean: Path, rng: random.Random) -> str:
    return damage_clip(open_dataset(str(folder)), rng)


def _header(folder: Path, clean: Path, rng: random.Random) -> str:
    """A header of a shard's tar; only the checksum of the clip disagrees with it."""
    path = rng.choice(sorted(folder.rglob("*.tar")))
    data = bytearray(path.read_bytes())
    value = rng.choice([b"7" * 11, b"\x80" + b"\xff" * 11, b"-1", b"\x00" * 12, b"99999999999"])
    data[124 : 124 + len(value)] = value
    data[156:157] = rng.choice([b"0", b"2", b"5", b"L", b"x", b"S", b"g"])
    path.write_bytes(data)
    return f"{path.name}: size {value!r}, kind {data[156:157]!r}"


WAYS: tuple[Callable[[Path, Path, random.Random], str], ...] = (
    *(_json, _tables, _tables, _tables, _bytes, _objects, _objects, _clips, _header),
)
