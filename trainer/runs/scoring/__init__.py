"""Embedded clips and what is measured on them: retrieval, probes, and labels."""

from __future__ import annotations

from trainer.runs.scoring import clip_probes, embeddings, labels, probes, retrieval, tags

__all__ = ["clip_probes", "embeddings", "labels", "probes", "retrieval", "tags"]
