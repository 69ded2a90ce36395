"""What people see."""

from __future__ import annotations

from pipeline.console.display import Display, print_summary
from pipeline.console.report import print_report
from pipeline.console.status import print_status, watch
from pipeline.console.sync_chart import draw_check
from pipeline.console.sync_check import check_sync
from pipeline.console.sync_table import check_json, print_check

__all__ = [
    "Display",
    "check_json",
    "check_sync",
    "draw_check",
    "print_check",
    "print_report",
    "print_status",
    "print_summary",
    "watch",
]
