"""What a store supports, determined by tests."""

from __future__ import annotations

from shards_spec.conformance.checks import StoreCheck, StoreTraits, check_store, probe_store

__all__ = ["StoreCheck", "StoreTraits", "check_store", "probe_store"]
