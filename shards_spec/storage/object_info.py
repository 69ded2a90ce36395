"""What a store says about one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a listing describes it."""

    key: str
    """Relative to the storage's URI."""
    size: int
    """Bytes."""
    etag: str
    """Changes with the content; empty if the store has none."""
    modified: int = 0
    """When it was last written, seconds since 1970; 0 if the store does not say."""

    @staticmethod
    def of(meta: Mapping[str, Any]) -> ObjectInfo:
        """From obstore's description."""
        # In seconds: listings may have fractions, which responses for single objects lack.
        modified = int(meta["last_modified"].timestamp()) if meta["last_modified"] else 0
        etag = _quoted(str(meta.get("e_tag") or ""))
        return ObjectInfo(str(meta["path"]), int(meta["size"]), etag, max(0, modified))

    def is_same_as(self, other: ObjectInfo, *, is_web: bool) -> bool:
        """Whether two descriptions are of the same content.

        In a bucket, equal ETags mean equal content. Those of web servers are often made from size
        and time, and some have none: there, the time of the last change counts too.
        """
        if (self.size, self.etag) != (other.size, other.etag):
            return False
        times_count = (is_web or not self.etag) and self.modified and other.modified
        return not times_count or self.modified == other.modified


def _quoted(etag: str) -> str:
    """An ETag as HTTP writes it: in Azure's listings, unlike elsewhere, it lacks the quotes."""
    return f'"{etag}"' if etag and not etag.endswith('"') else etag
