"""Object keys of a dataset, and which movie ids are allowed.

<dataset>/dataset.json
<dataset>/index/movies.parquet, index/clips.parquet, index/dropped.parquet
<dataset>/index/fingerprints.parquet, index/duplicates.parquet
<dataset>/labels/, index/labels/, index/labels.json    see `shards_spec.dataset.labels`
<dataset>/shards/<movie_id>/<movie_id>-00000.tar
<dataset>/commits/<movie_id>.parquet
<dataset>/README.md, croissant.json
"""

from __future__ import annotations

import re

from shards_spec.errors import FormatError

DATASET_JSON = "dataset.json"
MOVIES_PARQUET = "index/movies.parquet"
CLIPS_PARQUET = "index/clips.parquet"
#: Which clips were dropped, and why; see `shards_spec.dataset.dropped`.
DROPPED_PARQUET = "index/dropped.parquet"
#: Optional tables about near-duplicates; see `fingerprints`.
FINGERPRINTS_PARQUET = "index/fingerprints.parquet"
DUPLICATES_PARQUET = "index/duplicates.parquet"
#: Key in the schema metadata of `movies.parquet`: fingerprint of the `clips.parquet` of its update.
CLIPS_FINGERPRINT = "reelshards.clips_fingerprint"
README = "README.md"
CROISSANT = "croissant.json"
SHARDS = "shards"
COMMITS = "commits"

#: A tar header has 100 bytes for the name; shorter ids leave room for clip number and suffix.
MAX_MOVIE_ID = 64
_MOVIE_ID = re.compile(r"[a-z0-9_-]+")


def check_movie_id(movie_id: str) -> str:
    """Return `movie_id`; raise `FormatError` unless it matches `[a-z0-9_-]{1,64}`."""
    if not is_movie_id(movie_id):
        raise FormatError(
            f"movie id {movie_id!r} is not 1 to {MAX_MOVIE_ID} characters of a-z, 0-9, _ and -"
        )
    return movie_id


def is_movie_id(movie_id: str) -> bool:
    """Whether `movie_id` matches `[a-z0-9_-]{1,64}`."""
    return bool(_MOVIE_ID.fullmatch(movie_id)) and len(movie_id) <= MAX_MOVIE_ID


def clip_id(movie_id: str, clip_number: int) -> str:
    """Id of a clip, which is also the key of its sample."""
    return f"{movie_id}_{clip_number:06d}"


def shard_key(movie_id: str, number: int) -> str:
    """Object key of a movie's shard, relative to the dataset."""
    return f"{SHARDS}/{movie_id}/{movie_id}-{number:05d}.tar"


def shards_prefix(movie_id: str) -> str:
    """Prefix of all shards of a movie."""
    return f"{SHARDS}/{movie_id}"


def commit_key(movie_id: str) -> str:
    """Object key of a movie's commit record."""
    return f"{COMMITS}/{movie_id}.parquet"
