"""Which movies are held out from training, and which are copies of other movies.

Whole groups (shows, franchises) are held out, no matter how the policy groups batches: episodes of
a show on both sides of the split would let a model recognize sets and voices. Groups that share a
source, such as the same file under two names or two parts of one file, count as one group here.

A *copy* is a movie with the same source, the same part of it and the same audio track as another
movie. Copies would be each other's negatives although they show the same, so only the first movie
with eligible clips is used. Sources are compared by their fingerprints: files that were encoded
differently are recognized by what they show and play, once `reelshards duplicates` has searched for
them; see `repeats.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.data.mix.names import number_of, plain_name

#: The fingerprints that the pipeline writes; a writer without fingerprints may repeat any text.
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class MovieCopy:
    """A movie that is left out because another movie has the same source."""

    movie_id: str
    copy_of: str
    """The movie that is used instead."""
    num_clips: int
    """Clips left out that are eligible otherwise."""


@dataclass(frozen=True, eq=False)
class Sources:
    """The movies of a dataset by source; sets of one movie are left out."""

    same_source: tuple[tuple[str, ...], ...]
    """Movies from the same object, or copies, or that have spans in common."""
    copies: tuple[tuple[str, ...], ...]
    """Movies from sources with the same content, the same part and audio track of them."""

    @staticmethod
    def of(movies: pa.Table | None, linked: Sequence[tuple[str, ...]] = ()) -> Sources:
        """From a table of movies; None is a dataset about which nothing is known.

        `linked` are further movies that belong on one side of a split.
        """
        if movies is None:
            return Sources(tuple(linked), ())
        by_uri: defaultdict[Hashable, list[str]] = defaultdict(list)
        by_content: defaultdict[Hashable, list[str]] = defaultdict(list)
        names = ("movie_id", "source_uri", "source_fingerprint", "source_bytes", "duration_ns")
        for movie_id, uri, fingerprint, *size in zip(
            *(movies[name].to_pylist() for name in names), strict=True
        ):
            if uri:
                by_uri[uri].append(movie_id)
            if _FINGERPRINT.fullmatch(fingerprint):
                by_content[fingerprint, *size].append(movie_id)
        same_source = (*_several(by_uri), *_several(by_content), *linked)
        return Sources(same_source, _several(by_content))


def heldout_groups(
    groups: Sequence[str],
    linked: Iterable[Sequence[str]],
    fraction: float,
    *,
    offset: float = 0.0,
    are_qualified: bool = False,
) -> NDArray[np.bool_]:
    """(len(groups),) bool: the groups that are held out.

    Each group has a hash of its name, a number in [0, 1), and is held out when it is below
    `fraction`, which does not depend on other groups. Groups that share a source are held out only
    if all of them are: when a copy is added to a dataset, no training movie becomes held out. If no
    group qualifies, the one with the smallest hash is held out so that there is something to
    evaluate; that choice may change while the dataset is so small.

    Of several datasets, each is split as it would be alone, except for groups that share a source.

    Args:
        groups: distinct names.
        linked: names of groups that share a source.
        fraction: share to hold out, [0, 1).
        offset: subtracted from each hash, modulo 1, before it is compared.
        are_qualified: whether the names are those of groups in several datasets.
    """
    if fraction <= 0.0 or not groups:
        return np.zeros(len(groups), dtype=bool)
    number = {group: position for position, group in enumerate(groups)}
    root = np.arange(len(groups))
    for names in linked:
        roots = root[[number[name] for name in names]]
        if len(set(roots.tolist())) > 1:
            root[np.isin(root, roots)] = roots.min()
    names_alone = [plain_name(group) if are_qualified else group for group in groups]
    hashes = (np.array([_unit_hash(name) for name in names_alone]) - offset) % 1.0
    highest = np.zeros(len(groups))
    np.maximum.at(highest, root, hashes)
    score = highest[root]
    is_heldout: NDArray[np.bool_] = score < fraction
    dataset = np.array([number_of(group) if are_qualified else 0 for group in groups])
    for number in np.unique(dataset):
        own = dataset == number
        if not is_heldout[own].any():
            is_heldout = is_heldout | (score == score[own].min())
    return is_heldout


def copies_to_drop(
    movies: Sequence[str], num_eligible: NDArray[np.int64], sources: Sources
) -> tuple[MovieCopy, ...]:
    """The copies to leave out: of each set, all movies but the first with eligible clips.

    Args:
        movies: names of the movies, in order.
        num_eligible: (len(movies),) eligible clips of each.
        sources: which of them are copies.
    """
    if not sources.copies:
        return ()
    number = {movie: position for position, movie in enumerate(movies)}
    dropped = []
    for names in sources.copies:
        used = [name for name in names if name in number and num_eligible[number[name]]]
        used.sort(key=number.__getitem__)
        dropped += [MovieCopy(name, used[0], int(num_eligible[number[name]])) for name in used[1:]]
    return tuple(dropped)


def groups_of_sets(
    sets: Iterable[Sequence[str]], group_of: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """The groups of the movies of each set; movies without clips are ignored."""
    linked = (tuple({group_of[name] for name in names if name in group_of}) for names in sets)
    return [names for names in linked if len(names) > 1]


def _several(sets: Mapping[Hashable, list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names) for names in sets.values() if len(names) > 1)


def _unit_hash(text: str) -> float:
    digest = hashlib.sha256(text.encode()).digest()
    # A float represents 53 bits exactly, so the result is below 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / float(1 << 53)
