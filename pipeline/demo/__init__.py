"""Toy movies with known truth: real H.264/AAC files made by numpy and ffmpeg, no download.

Each movie has the three properties that make movies special. Many concepts stand in one movie
(semantic diversity), they come back (reoccurrence), and one palette, grade and theme music lie
over all of them (non-semantic consistency). Read `scenario` first, then `draw` and `sound`.
"""

from pipeline.demo.config import DemoConfig
from pipeline.demo.corpus import make_demo_corpus

__all__ = ["DemoConfig", "make_demo_corpus"]
