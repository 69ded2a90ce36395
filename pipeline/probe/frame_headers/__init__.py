"""Reads the headers of encoded frames straight from the file, without decoding them."""
