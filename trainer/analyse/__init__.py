"""What a corpus offers to within-movie negatives: the three properties that make them useful.

    descriptors   what is known of each clip: plain statistics, or the features of a run
    consistency   how well a movie is identified by its look and its score
    diversity     how many kinds of content a movie has, against the corpus
    recurrence    how often content returns, by the time between: false negatives to expect
    advice        which k, mass and guard this suggests
    analysis      all of it                page   one HTML file with plots

`analyse_to` is imported on first use, so that the command line needs no torch to parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.analyse.command import analyse_to

__all__ = ["analyse_to"]


def __getattr__(name: str) -> Any:
    if name != "analyse_to":
        raise AttributeError(f"module 'trainer.analyse' has no attribute {name!r}")
    from trainer.analyse.command import analyse_to

    return analyse_to
