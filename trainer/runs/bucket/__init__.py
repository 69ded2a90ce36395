"""A run whose folder is in a bucket: its local copy, uploads, and the lock."""

from __future__ import annotations

from trainer.runs.bucket.folder import (
    RunFolder,
    is_bucket,
    local_copy,
    local_path,
    open_run_folder,
    run_text,
)

__all__ = [
    "RunFolder",
    "is_bucket",
    "local_copy",
    "local_path",
    "open_run_folder",
    "run_text",
]
