"""Rebuilds a dataset from its lockfile and other copies of its movies.

retime      the clip grid of the original on the timeline of a copy
audio       audio at the tempo and pitch of the original
decode      the clips of one piece of a copy, decoded
fit         which clips a copy has, and how well each fits
rows        rows of the index and of the report
make        the clips of one movie, written and committed
rebuild     all movies
"""

from __future__ import annotations

from pipeline.rebuild.rebuild import Settings, Summary, rebuild
from pipeline.rebuild.report import ClipReport, MovieReport

__all__ = ["ClipReport", "MovieReport", "Settings", "Summary", "rebuild"]
