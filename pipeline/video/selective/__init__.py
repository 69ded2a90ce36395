"""Which frames of a movie the decoder need not see."""

from __future__ import annotations

from pipeline.video.selective.selection import RunSelection, Selection, selection_of

__all__ = ["RunSelection", "Selection", "selection_of"]
