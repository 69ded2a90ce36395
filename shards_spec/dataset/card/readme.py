"""The dataset card, `README.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from shards_spec.dataset.card.licences import (
    CREDIT_COLUMNS,
    LICENCE_COLUMNS,
    hub_licences,
    licence_counts,
)
from shards_spec.dataset.card.subject import Subject, shown
from shards_spec.schema.columns import LOCATION_COLUMNS
from shards_spec.schema.tables import CLIPS_SCHEMA

#: By this line, we recognize cards that we may replace.
MARKER = (
    "<!-- Written by reelshards, which replaces this file when the dataset changes. "
    "Delete this line to keep your own text. -->"
)

#: Most values of a column that a card lists.
_MAX_VALUES = 30

#: Hubs' classes of dataset size, by the number of clips below which they apply.
_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
    100_000_000: "10M<n<100M",
    1_000_000_000: "100M<n<1B",
}

_READING = """\
## Reading it

The clips are WebDataset tars; `frames.jpg` has a clip's frames one below the other.

```python
from datasets import load_dataset

clips = load_dataset("PATH/OR/NAME/OF/THIS/DATASET", split="train", streaming=True)
```

```python
import reelshards as rs

dataset = rs.open_dataset("PATH/OF/THIS/DATASET")
clip = dataset.clip(dataset.clips["clip_id"][0].as_py())
clip.frames, clip.logmel, clip.row["start_ns"]
```

```sql
SELECT movie_id, count(*), avg(motion) FROM 'index/clips.parquet' GROUP BY movie_id;
```

`index/movies.parquet` has a row for each movie, `index/clips.parquet` for each clip: its time in
the movie in nanoseconds, the byte range of its shard, and measurements.
"""


def readme(subject: Subject) -> str:
    """The card: front matter for hubs, and a page for people."""
    return "\n".join(
        (
            *_front_matter(subject),
            MARKER,
            "",
            "# Clips of movies, with video and audio",
            "",
            *_contents(subject),
            "",
            *_clip_section(subject),
            "",
            *_READING.splitlines(),
            "",
            *_licence_section(subject),
            "",
            *_recipe_section(subject),
            "",
        )
    )


def _front_matter(subject: Subject) -> Iterator[str]:
    yield "---"
    # A single configuration. Without it, loaders guess one from the most frequent kind of file,
    # which are the Parquet files of small datasets; with a second one, they no longer load tars.
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    yield "  - split: train"
    yield "    path: shards/**/*.tar"
    if subject.recipe["store_audio"]:
        yield from _features()
    if licences := hub_licences(subject.done):
        yield "license:"
        yield from (f"- {licence}" for licence in licences)
    num_clips = subject.totals["clips"]
    yield "size_categories:"
    yield f"- {next((name for end, name in _SIZES.items() if num_clips < end), 'n>1B')}"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("audio", "reelshards", "video", "webdataset"))
    yield "---"


def _features() -> Iterator[str]:
    """Types of the members. Loaders would guess them, and need torchcodec even to pass FLAC on."""
    yield "dataset_info:"
    yield "  features:"
    yield from ("  - name: audio.flac", "    dtype: binary")
    yield from ("  - name: frames.jpg", "    dtype: image")
    yield from ("  - name: json", "    struct:")
    for column in sorted(set(CLIPS_SCHEMA.names) - set(LOCATION_COLUMNS)):
        kind = CLIPS_SCHEMA.field(column).type
        yield f"    - name: {column}"
        # JSON has only two kinds of numbers.
        is_float = pa.types.is_floating(kind)
        yield f"      dtype: {kind if kind == pa.string() else 'float64' if is_float else 'int64'}"
    yield from ("  - name: logmel.npy", "    list:", "      list: float16")
    for name in ("__key__", "__url__"):
        yield from (f"  - name: {name}", "    dtype: string")


def _contents(subject: Subject) -> Iterator[str]:
    totals = subject.totals
    missing = {name: totals[f"movies_{name}"] for name in ("quarantined", "failed", "skipped")}
    facts = {
        "movies": f"{totals['movies_done']:,}",
        "movies without clips": _counts(missing),
        "hours": f"{subject.movie_hours:,.2f} in movies, {subject.clip_hours:,.2f} in clips",
        "clips": f"{totals['clips']:,}",
        "dropped clips": _counts(subject.dropped),
        **({"clips not chosen": f"{subject.not_chosen:,}"} if subject.not_chosen else {}),
        "groups (shows, franchises)": f"{len({row.group for row in subject.done}):,}",
        "shards": f"{totals['shards']:,}, {totals['shard_bytes']:,} bytes",
        "audio languages": _counts(subject.counted("audio_language")),
        "video codecs": _counts(subject.counted("video_codec")),
        "further columns of the movies": _names(subject.further_columns),
    }
    yield from _table("contents", "", facts)


def _clip_section(subject: Subject) -> Iterator[str]:
    recipe = subject.recipe
    yield "## A clip"
    yield ""
    seconds = recipe["num_frames"] / recipe["fps"]
    audio = ", `audio.flac` (16-bit mono)" if recipe["store_audio"] else ""
    yield (
        f"{recipe['num_frames']} frames at {recipe['fps']:g} frames per second ({seconds:g} s) "
        f"whose shorter side has {recipe['short_side']} pixels, and the audio of the same time."
    )
    yield (
        f"Members: `frames.jpg`, `logmel.npy` (float16, {recipe['n_mels']} mel bands, natural log)"
        f"{audio}, `json` (the clip's row of the index). "
        f"The audio has {recipe['sample_rate_hz']} Hz."
    )


def _licence_section(subject: Subject) -> Iterator[str]:
    yield "## Licences"
    yield ""
    done = subject.done
    stated = licence_counts(done, LICENCE_COLUMNS) | licence_counts(done, CREDIT_COLUMNS)
    if not any(name.casefold() in LICENCE_COLUMNS for name in stated):
        yield "The corpus names no licences. The rights to the movies remain with their owners."
        yield "Columns `license` and `attribution` of a manifest would be listed here."
    for column, values in stated.items():
        shown = dict(list(values.items())[:_MAX_VALUES])
        yield ""
        yield from _table(column, "movies", {name: f"{count:,}" for name, count in shown.items()})
        unstated = len(done) - sum(values.values())
        if len(shown) < len(values):
            yield f"| and {len(values) - len(shown):,} more, see `index/movies.parquet` | |"
        if unstated:
            yield f"| not stated | {unstated:,} |"


def _recipe_section(subject: Subject) -> Iterator[str]:
    yield "## Recipe"
    yield ""
    yield from _table(
        "setting",
        "value",
        {name: _setting(value) for name, value in sorted(subject.recipe.items())},
    )
    versions = sorted({row.reelshards_version for row in subject.done if row.reelshards_version})
    yield ""
    yield (
        f"Recipe {subject.info['recipe_fingerprint']}, format {subject.info['spec_version']}, "
        f"made with {_made_with(versions)}ffmpeg {_cell(subject.info['ffmpeg_version'])}."
    )


def _made_with(versions: Sequence[str]) -> str:
    return f"reelshards {', '.join(map(_cell, versions))} and " if versions else ""


def _setting(value: object) -> str:
    return _cell(str(value)) if value != "" else "(empty)"


def _table(first: str, second: str, facts: Mapping[str, str]) -> Iterator[str]:
    yield f"| {_cell(first)} | {_cell(second)} |"
    yield "|---|---|"
    for name, value in facts.items():
        yield f"| {_cell(name)} | {value} |"


def _names(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MAX_VALUES:,} more"] if len(names) > _MAX_VALUES else []
    return ", ".join((*map(_cell, names[:_MAX_VALUES]), *more)) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    """`3 black, 1 silent`."""
    texts = [f"{count:,} {_cell(name)}" for name, count in counts.items() if count]
    more = [f"and {len(texts) - _MAX_VALUES:,} other values"] if len(texts) > _MAX_VALUES else []
    return ", ".join((*texts[:_MAX_VALUES], *more)) or "none"


def _cell(text: str) -> str:
    """Any text as plain text of a table's cell: no markup, one line, not too long."""
    text = shown(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(
        f"\\{character}" if character in "\\`*_[]|#~$" else character for character in text
    )
