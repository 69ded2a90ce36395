"""Uploads of datasets to the Hugging Face hub, through `huggingface_hub`.

Shards and commit records go first, in commits of bounded size. One last commit replaces the index,
`dataset.json` and the card, and deletes what the dataset no longer has. So an upload that was
interrupted leaves the repository as readers knew it, and the next one sends only what is missing.
"""

from __future__ import annotations

from reelshards.hub.inventory import Inventory, take_inventory
from reelshards.hub.upload import Upload, upload

__all__ = ["Inventory", "Upload", "take_inventory", "upload"]
