"""What is heard in stored clips, as labels: speech, music, silence."""

from __future__ import annotations

from pipeline.tags import judge, sounds
from pipeline.tags.tagging import Tagging, cells_of, tag_clips

__all__ = [
    "Tagging",
    "cells_of",
    "judge",
    "sounds",
    "tag_clips",
]
