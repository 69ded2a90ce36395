"""Which movies are held out, and what is left out because other movies show the same."""

from __future__ import annotations

from trainer.data.plan.sources.repeats import Repeat, linked_movies, with_kinds, without_repeats
from trainer.data.plan.sources.split import (
    MovieCopy,
    Sources,
    copies_to_drop,
    groups_of_sets,
    heldout_groups,
)

__all__ = [
    "MovieCopy",
    "Repeat",
    "Sources",
    "copies_to_drop",
    "groups_of_sets",
    "heldout_groups",
    "linked_movies",
    "with_kinds",
    "without_repeats",
]
