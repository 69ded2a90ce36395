"""Transformer towers."""
