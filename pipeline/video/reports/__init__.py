"""What ffmpeg reports about a run of the decoder, and what follows for grid frames."""

from __future__ import annotations

from pipeline.video.reports.decoder_log import DecoderLog
from pipeline.video.reports.grid_run import GridRun
from pipeline.video.reports.held_frames import holds_frames, may_hide_damage
from pipeline.video.reports.run_report import RunReport

__all__ = ["DecoderLog", "GridRun", "RunReport", "holds_frames", "may_hide_damage"]
