"""Which movies are held out, and what is left out because other movies show the same."""

from __future__ import annotations

from trainer.data.plan.sources import repeats
from trainer.data.plan.sources.split import (
    MovieCopy,
    Sources,
    copies_to_drop,
    groups_of_sets,
    heldout_groups,
)

__all__ = [
    "MovieCopy",
    "Sources",
    "copies_to_drop",
    "groups_of_sets",
    "heldout_groups",
    "repeats",
]
