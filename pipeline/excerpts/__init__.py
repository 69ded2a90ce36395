"""Labeled files of other data sets, such as short clips and sounds, as inputs of trained encoders.

    decode     one file to frames on the recipe's grid and mono samples, whichever it has
    windows    the parts of it, each as long as a clip, encoded as in shards

Unlike a movie, such a file may lack video or audio, and may be shorter than a clip.
"""

from __future__ import annotations

from pipeline.excerpts.decode import DecodedFile, decode_file
from pipeline.excerpts.windows import Excerpts, read_excerpts

__all__ = ["DecodedFile", "Excerpts", "decode_file", "read_excerpts"]
