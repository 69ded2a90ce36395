"""A whole dataset: written, indexed, read, checked, described and shown."""
