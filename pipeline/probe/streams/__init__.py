"""The streams of a movie: their list, packets, shapes, and the times of their frames."""
