"""The project's question as a controlled experiment: do within-movie negatives change what a model
learns, where, and by how much?

    config   which runs are compared          cells     one run: train, judge, measure
    runner   all runs, side by side           summary   means, intervals, effects
    verdict  the findings in words            plots     pictures of them
    examples film strips that were retrieved  page      one HTML file with all of it
"""
