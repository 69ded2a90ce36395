"""What a store can do, found out by trying."""

from __future__ import annotations

from shards_spec.conformance.checks import StoreCheck, StoreTraits, check_store, probe_store

__all__ = ["StoreCheck", "StoreTraits", "check_store", "probe_store"]
