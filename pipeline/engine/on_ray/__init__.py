"""Ray itself: its cluster, its processes, and its errors."""
