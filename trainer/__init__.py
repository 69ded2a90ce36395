"""Shards in, models out: the streaming half of reelshards."""
