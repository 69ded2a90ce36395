"""Real sounds and clips in the layouts of data sets that packages do not carry."""
