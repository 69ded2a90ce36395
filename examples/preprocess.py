"""Movies to shards from Python: python examples/preprocess.py CORPUS OUT"""

import sys

import reelshards as rs

corpus, out = sys.argv[1:]
try:
    summary = rs.preprocess(corpus, out, fps=5, num_frames=8, short_side=64, workers=2)
except rs.ReelshardsError as error:
    sys.exit(f"nothing was done: {error}")
print("movies by status:", dict(summary.counts))
for movie in summary.failed:
    print(f"{movie.movie_id}: {movie.error_class}: {movie.error}")
