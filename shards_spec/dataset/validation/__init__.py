"""Checks a dataset against the shard format."""

from __future__ import annotations

from shards_spec.dataset.validation.report import Report
from shards_spec.dataset.validation.validator import validate

__all__ = [
    "Report",
    "validate",
]
