"""What people see: progress, summaries, reports, and the check of one movie's synchronization.

`report`, `status`, `sync_check`, `sync_table` and `sync_chart` are imported on demand, so that
`status` does not wait for the libraries that decode audio.
"""

from __future__ import annotations

from pipeline.console.display import print_prunable, run_shown, views_run_shown

__all__ = ["print_prunable", "run_shown", "views_run_shown"]
