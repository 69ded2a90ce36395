"""Movies in, audio-visual clip shards out: the offline half of reelshards."""
