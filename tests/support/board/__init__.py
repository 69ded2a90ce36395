"""Small tasks of mteb on media that tests make."""
