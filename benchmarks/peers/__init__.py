"""Other ways to make clips of movies, measured on the same movies and cores: `benchmarks.peers`."""
