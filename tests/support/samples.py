"""Samples of a kind: a few run in `make test`, all of them in `make test-slow`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def mostly_slow(cases: Iterable[Any], few: Collection[Any]) -> list[Any]:
    """The cases as values of one parameter; those that are not among `few` are marked slow."""
    found = list(cases)
    unknown = [case for case in few if case not in found]
    assert not unknown, f"not among the cases: {unknown}"
    slow = pytest.mark.slow
    return [case if case in few else pytest.param(case, marks=slow) for case in found]
