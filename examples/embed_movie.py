"""Moments that look alike, with a trained run: python examples/embed_movie.py MOVIE RUN"""

import sys

import numpy as np

import reelshards as rs

table = rs.load(sys.argv[2]).embed_movie(sys.argv[1])
video = np.stack(table["video"].to_numpy())
start = table["start_ns"].to_numpy() / 1e9
similarity = video @ video.T - 2 * np.eye(len(video))
for row, best in enumerate(similarity.argmax(axis=1)):
    print(f"{start[row]:6.1f} s looks most like {start[best]:6.1f} s")
