"""Encoders as files for others."""
