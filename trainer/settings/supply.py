"""The training and the store that a simulation assumes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from shards_spec.errors import require

_require = partial(require, "supply")


@dataclass(frozen=True, kw_only=True)
class SupplyConfig:
    """A training that is simulated, and the store and the cores that supply it."""

    clips_per_second: float = 0.0
    """Clips that the training step takes per second, all ranks together, when it never waits; 0 for
    no simulation."""
    ranks: int = 1
    """Ranks; the first one is simulated, as all have equal work."""
    cores: int = 0
    """Cores that decode for each rank; 0 for as many as there are decoding threads."""
    latency_ms: float = 30.0
    """Time from a request to the first byte of its answer."""
    megabytes_per_second: float = 100.0
    """Bandwidth from the store to each rank, 10^6 bytes per second."""
    decode_ms: float = 0.0
    """Time in which a core decodes a clip; 0 to measure it on this machine."""
    steps: int = 300
    """Steps to simulate, at most an epoch."""
    price_per_million_reads: float = 0.4
    """Price of 1,000,000 requests in a currency of your choice; 0.4 is common in US dollars."""
    price_per_gigabyte: float = 0.0
    """Price of 10^9 bytes that leave the store; usually 0 within its region."""

    def __post_init__(self) -> None:
        for name in ("ranks", "steps"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} = {value}: must be at least 1")
        _require(
            self.megabytes_per_second > 0.0,
            f"megabytes_per_second = {self.megabytes_per_second}: must be positive",
        )
        for name in (
            "clips_per_second",
            "cores",
            "latency_ms",
            "decode_ms",
            "price_per_million_reads",
            "price_per_gigabyte",
        ):
            value = getattr(self, name)
            _require(value >= 0, f"{name} = {value}: must be at least 0")
