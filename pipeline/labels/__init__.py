"""Labels, subtitles and chapters into a dataset."""

from __future__ import annotations

from pipeline.labels.from_movies import FromMovies, read_chapters, read_subtitles
from pipeline.labels.importing import (
    Imported,
    import_ranges,
    name_of_file,
    read_file,
    remove_labels,
)

__all__ = [
    "FromMovies",
    "Imported",
    "import_ranges",
    "name_of_file",
    "read_chapters",
    "read_file",
    "read_subtitles",
    "remove_labels",
]
