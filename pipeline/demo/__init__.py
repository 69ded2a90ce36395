"""Synthetic movies with known ground truth: H.264/AAC files made by numpy and ffmpeg, no downloads.

Each movie has the three properties that make movies special: it contains many concepts (semantic
diversity), they come back (reoccurrence), and one palette, grade and theme music cover all of them
(non-semantic consistency). Read `scenario` first, then `drawing` and `sound`.
"""

from pipeline.demo.command import DemoCorpus
from pipeline.demo.config import DemoConfig
from pipeline.demo.corpus import make_demo_corpus

__all__ = ["DemoConfig", "DemoCorpus", "make_demo_corpus"]
