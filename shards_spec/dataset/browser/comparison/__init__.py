"""What differs between two datasets, and why one lacks a clip of the other."""

from __future__ import annotations

from shards_spec.dataset.browser.comparison.datasets import (
    Change,
    Comparison,
    MovieDifference,
    changes,
)

__all__ = [
    "Change",
    "Comparison",
    "MovieDifference",
    "changes",
]
