"""Nearest audio for a clip's video, with a trained run: python examples/embed.py DATASET RUN"""

import sys

import numpy as np

import reelshards as rs

dataset, encoder = rs.open_dataset(sys.argv[1]), rs.load(sys.argv[2])
table = encoder.embed_clips(dataset)
video = np.stack(table["video"].to_numpy())
audio = np.stack(table["audio"].to_numpy())
names = table["clip_id"].to_pylist()
for row, best in enumerate((video @ audio.T).argmax(axis=1)[:5]):
    print(f"video of {names[row]} is most similar to the audio of {names[best]}")
