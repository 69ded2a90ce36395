"""From shards to batches: which clips, in which order, and how their bytes get into memory."""
