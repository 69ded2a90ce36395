"""What a dataset says about itself to people and to other programs.

    README.md         the dataset card; its front matter names the shards, so that
                      `datasets.load_dataset(folder)` finds them
    croissant.json    Croissant 1.1 metadata: the tables of the dataset with their columns

Both are functions of the tables and of `dataset.json`: equal ones have equal cards. A file of the
same name that we did not write is never replaced.
"""

from __future__ import annotations

from shards_spec.dataset.card.files import card_files, is_ours, write_card
from shards_spec.dataset.card.subject import Subject, TableFile

__all__ = ["Subject", "TableFile", "card_files", "is_ours", "write_card"]
