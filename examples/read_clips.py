"""The movies of a dataset, and one clip of each, decoded: python examples/read_clips.py DATASET"""

import sys

import reelshards as rs

dataset = rs.open_dataset(sys.argv[1])
print(f"{dataset.clips.num_rows} clips at {dataset.recipe.fps} frames per second")
for movie in dataset:
    loudest = movie.clips.sort_by([("audio_rms_dbfs", "descending")])["clip_id"][0].as_py()
    clip = dataset.clip(loudest)
    seconds = clip.row["start_ns"] / 1e9
    print(f"{movie.movie_id}: {movie.clips.num_rows} clips; the loudest starts at {seconds:.1f} s")
    print(f"  frames {clip.frames.shape} {clip.frames.dtype}, log-mel {clip.logmel.shape}")
