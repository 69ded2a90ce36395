"""The command `analyse`: the analysis, and its page."""

from __future__ import annotations

from pathlib import Path

from trainer.analyse.analysis import Analysis, analyse
from trainer.analyse.page import require_page, write_page


def analyse_to(data: str, run: str, out: str, max_clips: int) -> Analysis:
    """As `analyse`, and write the page to the file `out`; empty for none."""
    if not out:
        return analyse(data, run, max_clips=max_clips)
    # Missing packages and unusable names are reported before clips are read, not after.
    require_page(Path(out))
    found = analyse(data, run, max_clips=max_clips)
    write_page(Path(out), found)
    return found
