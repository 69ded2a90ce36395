"""Compare batch policies before renting a GPU: python examples/plan_report.py DATASET"""

import sys

import reelshards as rs

dataset = rs.open_dataset(sys.argv[1])
for movies, clips in ((4, 2), (2, 4)):
    policy = rs.BatchPolicy(movies_per_batch=movies, clips_per_movie=clips, reads_per_movie=2)
    report = rs.plan_report(dataset, policy)
    print(
        f"{movies} movies x {clips} clips: rho {report.rho:.3f}, {report.num_steps} steps per "
        f"epoch, {report.num_used} of {report.num_eligible} clips used"
    )
