"""How a run uses its machines. Nothing here changes a byte of the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.limits import Limits
from shards_spec.errors import InputError


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of a run; the recipe says what comes out, this says how it gets done."""

    workers: int = 0
    """CPUs of a local run; 0 for all of this machine's. Ignored with `address`."""
    address: str = ""
    """Ray cluster to run on: `auto`, `ray://host:port` or `host:port`; empty for a local run."""
    segment_seconds: float = 300.0
    """Film seconds that one task decodes."""
    max_attempts: int = 4
    """Tries per task when it fails for a transient reason or for lack of memory."""
    retry_seconds: float = 2.0
    """Wait before the second try; doubled for each further one, and spread by up to a half."""
    movie_hours: float = 24.0
    """Wall time that one film may take from its first task to its commit, hours."""
    task_memory_gib: float = 0.5
    """Memory that Ray sets aside for a task, GiB; doubled when a try ended for lack of it."""
    stop_after: int = 10
    """Films that must have failed for one reason of the machinery before the run may stop."""
    stop_share: float = 0.5
    """The run stops when more than this share of its films failed for that one reason."""
    drain_seconds: float = 60.0
    """After SIGTERM: time for open films to finish before they are left to the next run."""
    sources: Literal["auto", "staged", "ranged"] = "auto"
    """How remote sources are read: copied to each node's disk, or by range from the store; `auto`
    copies on up to 3 nodes and reads by range on more, or where a film is larger than `stage_gib`.
    """
    stage_gib: float = 200.0
    """Disk per node for copies of remote sources, GiB."""
    follow_links: bool = False
    """Whether links inside a corpus folder may lead out of it."""
    log_json: str = ""
    """File that gets one JSON line for each event; empty for none."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.workers < 0 or self.max_attempts < 1 or self.retry_seconds < 0:
            raise InputError(
                "workers and retry_seconds must not be negative, max_attempts at least 1"
            )
        if min(self.segment_seconds, self.movie_hours, self.stage_gib) <= 0:
            raise InputError(
                f"{self.segment_seconds = }, {self.movie_hours = } and {self.stage_gib = } "
                "must be positive"
            )
        if self.stop_after < 1 or not 0 < self.stop_share <= 1:
            raise InputError(
                f"{self.stop_after = } must be at least 1, {self.stop_share = } in (0, 1]"
            )
        if min(self.task_memory_gib, self.drain_seconds) < 0:
            raise InputError("task_memory_gib and drain_seconds must not be negative")
