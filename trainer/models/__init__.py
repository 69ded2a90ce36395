"""Networks: video towers, audio towers, and the pair of them with heads."""
