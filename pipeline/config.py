"""Settings of a run: how machines are used. None of these affects the clips that are stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pipeline.limits import Limits
from shards_spec.errors import InputError

Incomplete = Literal["keep", "fail"]
Decode = Literal["exact", "full", "fast"]
Hwaccel = Literal["none", "cuda"]
Seeks = Literal["auto", "never", "always"]

STORE_PATIENCE_SECONDS = 300.0


def _without_prefix() -> Any:
    """The options of a nested dataclass on the command line are called like its fields."""
    from tyro.conf import arg  # Workers have settings, but no command line.

    return arg(name="limits", prefix_name=False)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run is carried out; the recipe defines its output."""

    workers: int = 0
    """CPUs of a local run; 0 for all CPUs of this machine. Ignored with `--address`."""
    address: str = ""
    """Ray cluster to run on: `auto`, `ray://host:port` or `host:port`; empty for a local run."""
    segment_seconds: float = 300.0
    """Seconds of a movie that one task decodes."""
    max_attempts: int = 4
    """Attempts per task, if it fails for a transient reason or runs out of memory."""
    retry_seconds: float = 2.0
    """Delay before the first retry, seconds; doubles with each retry, with up to 50 % jitter."""
    movie_hours: float = 24.0
    """Wall time limit of one movie, from its first task to its commit, hours."""
    task_memory_gib: float = 0.5
    """Memory that Ray reserves for a task, GiB; doubled after an attempt that ran out of memory."""
    stop_after: int = 10
    """Stop the run only after this many movies failed with the same infrastructure error."""
    stop_fraction: float = 0.5
    """Stop the run only if more than this fraction of the movies failed with that error."""
    store_patience_seconds: float = STORE_PATIENCE_SECONDS
    """How long operations are retried while the store of the dataset or of a source is unavailable,
    before the run ends or the movie fails, seconds."""
    drain_seconds: float = 60.0
    """After SIGTERM: time for movies in progress to finish; others are left to the next run."""
    sources: Literal["auto", "staged", "ranged"] = "auto"
    """How remote sources are read: copied to each node's disk, or by range from the store; `auto`
    copies on up to 4 nodes, and reads by range on more or if a movie exceeds `--stage-gib`."""
    stage_gib: float = 200.0
    """Disk per node for copies of remote sources, GiB."""
    follow_links: bool = False
    """Let links inside a corpus folder lead out of it."""
    group_depth: int = 0
    """Group movies by this many folders of their path below the corpus (1: show, 2: show and
    season); 0: only the groups that a manifest names."""
    incomplete: Incomplete = "keep"
    """Movies that were cut off (shorter than they declare): `keep` what is there, or `fail`
    them."""
    decode: Decode = "exact"
    """What decoders see: `exact` leaves out frames that no clip shows and no other frame refers to,
    where that is certain (see `decode_mode` in the index), which gives the same clips for less CPU;
    `full` leaves out nothing. `fast` makes other clips, and is part of the recipe: no loop filter,
    frames at most one source frame too early, and the error of each movie in the index."""
    seeks: Seeks = "auto"
    """With `--clips-per-movie`, decode only around the chosen clips: `auto` where that is predicted
    to cost less than one pass over the movie, `never`, or `always`. The clips are the same."""
    hwaccel: Hwaccel = "none"
    """Decode progressive 8-bit H.264 and HEVC on graphics cards where a node has them: `cuda`
    (NVDEC). What a card cannot decode, the CPU does; see `decode_device` in the index. Damage
    inside of frames goes unnoticed on a card."""
    redo_versions: bool = False
    """Process movies again if another version of reelshards or ffmpeg made them."""
    index_minutes: float = 5.0
    """Update the index at least this often during a run, minutes."""
    index_movies: int = 1000
    """Also update it after this many movies."""
    log_json: str = ""
    """File for events, one JSON object per line; empty for none."""
    limits: Annotated[Limits, _without_prefix()] = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.workers < 0 or self.max_attempts < 1 or self.retry_seconds < 0:
            raise InputError(
                "workers and retry_seconds must not be negative, max_attempts at least 1"
            )
        if self.decode == "fast" and self.hwaccel != "none":
            raise InputError(
                f"--decode fast skips work of CPU decoders, and --hwaccel {self.hwaccel} does "
                "not use them; choose one"
            )
        if min(self.segment_seconds, self.movie_hours, self.stage_gib) <= 0:
            raise InputError(
                f"{self.segment_seconds = }, {self.movie_hours = } and {self.stage_gib = } "
                "must be positive"
            )
        if self.index_minutes <= 0 or self.index_movies < 1:
            raise InputError(
                f"{self.index_minutes = } must be positive, {self.index_movies = } at least 1"
            )
        if self.stop_after < 1 or not 0 < self.stop_fraction <= 1:
            raise InputError(
                f"{self.stop_after = } must be at least 1, {self.stop_fraction = } in (0, 1]"
            )
        if min(self.task_memory_gib, self.drain_seconds, self.group_depth) < 0:
            raise InputError("task_memory_gib, drain_seconds and group_depth must not be negative")
        if self.store_patience_seconds < 0:
            raise InputError(f"{self.store_patience_seconds = } must not be negative")
