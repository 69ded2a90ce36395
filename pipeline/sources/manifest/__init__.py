"""Corpus manifests: tables with one movie per row.

A manifest has a column `uri` and, optionally, `movie_id`, `group`, `language`, `audio_track`
(stream index in the file), `program` (its number, for files with several), `start` and `end`
(seconds). Relative URIs start at the manifest's folder. Every further column is metadata: it is
stored in the index as it is. Empty cells, null and NaN mean "not given".
"""

from __future__ import annotations

from pipeline.sources.manifest.records import SUFFIXES, manifest_suffix
from pipeline.sources.manifest.rows import ManifestRow, read_manifest

__all__ = ["SUFFIXES", "ManifestRow", "manifest_suffix", "read_manifest"]
