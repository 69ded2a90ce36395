"""Subtitles and chapters of the movies of a dataset, read from their sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import MovieError, SourceChangedError
from pipeline.labels.sidecars import Sidecars
from pipeline.probe.tracks.texts import MovieTexts, choose_text_track, find_texts, read_text_track
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import movie_of_row
from pipeline.sources.identity import fingerprint, former_fingerprint
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.subtitle_files import read_cues
from shards_spec.errors import InputError
from shards_spec.schema import MovieRow

#: Movies that are read at the same time.
_THREADS = 4


@dataclass(frozen=True)
class FromMovies:
    """What was read from movies."""

    ranges: tuple[LabeledRange, ...]
    findings: Findings
    num_without: int
    """Movies that have none."""


def read_subtitles(
    rows: Sequence[MovieRow], *, language: str = "", encoding: str = "", follow_links: bool = False
) -> FromMovies:
    """The subtitles of movies: of a file next to each, else of a text track inside of it."""
    sidecars = Sidecars(follow_links=follow_links)

    def read(movie: Movie, source: Readable, findings: Findings) -> list[LabeledRange]:
        texts = find_texts(movie, source)
        sidecar = sidecars.find(movie, language)
        if sidecar is not None:
            name, data = sidecar
            # The clock of such a file is that of players, which begin with the container.
            start_ns = texts.container_start_ns - texts.video_start_ns
            return _cues(movie, data(), name, start_ns, findings, encoding)
        track = choose_text_track(texts.tracks, language)
        if track is None:
            _note_images(movie, texts, findings)
            return []
        data_of_track = read_text_track(movie, source, track)
        name = f"{movie.name} track {track.index}"
        return _cues(movie, data_of_track, name, -texts.video_start_ns, findings, "")

    return _read_all(rows, read, follow_links)


def read_chapters(rows: Sequence[MovieRow], *, follow_links: bool = False) -> FromMovies:
    """The chapters of movies, by their titles."""

    def read(movie: Movie, source: Readable, findings: Findings) -> list[LabeledRange]:
        ranges = []
        for item in find_texts(movie, source).chapters:
            if item.end_ns <= item.start_ns:
                findings.add("bad_time", f"{movie.name}: chapter {item.title}")
                continue
            # The first one usually begins with the container, a little before the video.
            start_ns = max(0, item.start_ns)
            label = LabeledRange(movie.movie_id, start_ns, item.end_ns, item.title, None)
            ranges.append(label)
        return ranges

    return _read_all(rows, read, follow_links)


def _cues(
    movie: Movie, data: bytes, name: str, start_ns: int, findings: Findings, encoding: str
) -> list[LabeledRange]:
    return [
        LabeledRange(movie.movie_id, cue.start_ns + start_ns, cue.end_ns + start_ns, None, cue.text)
        for cue in read_cues(data, name, findings, encoding)
    ]


def _note_images(movie: Movie, texts: MovieTexts, findings: Findings) -> None:
    """Count a movie whose subtitles are all images."""
    if texts.tracks and not any(track.is_text for track in texts.tracks):
        codecs = ", ".join(sorted({track.codec for track in texts.tracks}))
        findings.add("unreadable", f"{movie.name}: its subtitles are images ({codecs}), not text")


_Read = Callable[[Movie, Readable, Findings], list[LabeledRange]]


def _read_all(rows: Sequence[MovieRow], read: _Read, follow_links: bool) -> FromMovies:
    """Read all movies with clips, several at a time; those that cannot be read are counted."""

    def of_row(row: MovieRow) -> tuple[list[LabeledRange], Findings]:
        findings = Findings()
        try:
            movie = movie_of_row(row, follow_links)
            current = fingerprint(movie)
            if row.source_fingerprint not in (current, former_fingerprint(movie)):
                raise SourceChangedError(
                    f"{movie.name} has changed since it was preprocessed; run preprocess again"
                )
            with open_source(movie, current) as source:
                return read(movie, source, findings), findings
        except (MovieError, InputError) as error:
            findings.add("unreadable", f"{row.movie_id}: {error}")
            return [], findings

    with_clips = [row for row in rows if row.num_clips]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="labels") as pool:
        found = list(pool.map(of_row, with_clips))
    findings = Findings()
    for _, of_movie in found:
        findings.extend(of_movie)
    num_without = sum(not ranges and not of_movie.all() for ranges, of_movie in found)
    ranges = tuple(item for ranges, _ in found for item in ranges)
    return FromMovies(ranges, findings, num_without)
