"""Which frames of a movie no other frame refers to."""
