"""Datasets of many movies."""
