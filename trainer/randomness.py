"""Randomness that depends on its arguments only: no global state, no worker, no order of calls."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def rng(seed: int, epoch: int, *keys: int | str) -> np.random.Generator:
    """A generator for one purpose, named by `keys`, such as ("crop", clip_id).

    Equal arguments give equal draws on every machine, rank and thread; different arguments give
    independent streams.
    """
    text = json.dumps([seed, epoch, *keys], separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
