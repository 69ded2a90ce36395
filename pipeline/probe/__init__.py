"""What a movie consists of: streams, timestamps, damage."""

from __future__ import annotations

from pipeline.probe import containers, disposable, streams, tracks
from pipeline.probe.probe import Probe, frame_times_ns, probe

__all__ = ["Probe", "containers", "disposable", "frame_times_ns", "probe", "streams", "tracks"]
