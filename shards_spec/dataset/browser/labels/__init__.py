"""Labels and texts of clips, as people see them.

Its pages are in `pages`, which needs those of the browser; everything else is here.
"""

from __future__ import annotations

from shards_spec.dataset.browser.labels.clip_labels import ClipLabel, LabelCatalog

__all__ = ["ClipLabel", "LabelCatalog"]
