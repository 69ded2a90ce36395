"""Croissant 1.1 metadata, `croissant.json`: the tables of a dataset and their columns.

See the specification at https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from shards_spec.dataset.card.licences import stated_licences
from shards_spec.dataset.card.subject import Subject, TableFile, shown

#: By this text, we recognize files that we may replace.
MARKER = "Metadata written by reelshards, which replaces this file when the dataset changes."

#: Most licences that are listed; the table of movies has all of them.
_MAX_LICENCES = 100

#: Columns without equal values, by record set.
_UNIQUE = {"clips": "clip_id", "movies": "movie_id"}

#: Identifiers are parts of addresses: columns with other names are left out.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")

#: Croissant's own vocabulary: validators expect all of it, whether it is used or not.
_CROISSANT_KEYS = (
    *("arrayShape", "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject"),
    *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
    *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)


def croissant(subject: Subject) -> str:
    """The metadata as JSON."""
    licences = list(map(shown, stated_licences(subject.done)[:_MAX_LICENCES]))
    values = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "movie-clips",
        "description": _description(subject),
        "version": "1.0.0",
        "keywords": ["audio", "movies", "reelshards", "video", "webdataset"],
        **({"license": licences} if licences else {}),
        "distribution": [*map(_file_object, subject.tables), _shards()],
        "recordSet": [_record_set(table) for table in subject.tables],
    }
    return json.dumps(values, indent=1, ensure_ascii=True) + "\n"


def _context() -> dict[str, Any]:
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        **{key: f"cr:{key}" for key in _CROISSANT_KEYS},
    }


def _description(subject: Subject) -> str:
    totals = subject.totals
    return (
        f"{totals['clips']:,} clips of {totals['movies_done']:,} movies "
        f"({subject.clip_hours:,.2f} hours): video frames, log-mel spectrograms and the time of "
        f"each clip in its movie, in WebDataset tars grouped by movie. {MARKER}"
    )


def _name(table: TableFile) -> str:
    """Name of a table's record set: `clips`, `label_ranges_mood`, `clip_labels_mood`."""
    path = PurePosixPath(table.key)
    folders = {"labels": "label_ranges_", "index/labels": "clip_labels_"}
    return folders.get(str(path.parent), "") + path.stem


def _file_object(table: TableFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": table.key,
        "name": table.key,
        "contentUrl": table.key,
        "contentSize": f"{table.num_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": table.sha256,
    }


def _shards() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "WebDataset tars; a clip's members are named by its clip_id.",
        "encodingFormat": "application/x-tar",
        "includes": "shards/*/*.tar",
    }


def _record_set(table: TableFile) -> dict[str, Any]:
    name = _name(table)
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column.name}",
            "name": column.name,
            **data_type,
            "source": {"fileObject": {"@id": table.key}, "extract": {"column": column.name}},
        }
        for column in table.schema
        if _PLAIN_NAME.fullmatch(column.name) and (data_type := _data_type(column.type))
    ]
    unique = _UNIQUE.get(name)
    key = {"key": {"@id": f"{name}/{unique}"}} if unique else {}
    return {"@type": "cr:RecordSet", "@id": name, "name": name, **key, "field": fields}


def _data_type(kind: pa.DataType) -> dict[str, Any]:
    """Croissant's type of a column; empty for types that it does not know."""
    if pa.types.is_list(kind):
        inner = _data_type(kind.value_type)
        return {**inner, "isArray": True, "arrayShape": "-1"} if inner else {}
    if pa.types.is_boolean(kind):
        return {"dataType": "sc:Boolean"}
    if pa.types.is_integer(kind):
        return {"dataType": "sc:Integer"}
    if pa.types.is_floating(kind):
        return {"dataType": "sc:Float"}
    return {"dataType": "sc:Text"} if pa.types.is_string(kind) else {}
