"""Clip bytes in parts: read back unchanged, and memory does not grow with the movie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory
from pipeline.audio import clips as audio
from pipeline.movie import steps
from pipeline.movie.spool import AUDIO_PART, open_spool
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import Recipe
from tests.support.films.media import Film, make_film
from tests.support.films.opened import opened, source_of
from tests.support.films.oracle import decoded_audio


def test_parts_are_read_back_in_any_order() -> None:
    with open_spool() as spool:
        spool.add(1, [np.frombuffer(b"abc", np.uint8), np.frombuffer(b"defg", np.uint8)])
        assert spool.part(1).read(2, 5) == b"cde"
        spool.add(AUDIO_PART, iter([np.frombuffer(b"xyz", np.uint8)]))
        spool.add(0, [])
        assert spool.part(1).read(0, 7) == b"abcdefg"
        assert spool.part(AUDIO_PART).read(1, 3) == b"yz"
        with pytest.raises(AssertionError):
            spool.part(AUDIO_PART).read(1, 4)


def test_the_audio_arrives_in_the_announced_number_of_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_film(tmp_path / "a.mp4", Film(seconds=7))
    (movie,) = find_movies(str(film))
    recipe = Recipe(num_frames=5, short_side=32, store_audio=True)
    plan = steps.prepare(movie, opened(movie), recipe, 300.0)
    whole, data = decoded_audio(plan)
    assert audio.num_audio_parts(plan) == 1
    monkeypatch.setattr(audio, "CLIPS_PER_PART", 2)
    parts = list(audio.audio_parts(steps.with_clips(plan, []), source_of(plan)))
    assert len(parts) == audio.num_audio_parts(plan) == 4
    assert np.array_equal(np.concatenate(parts), data)
    assert len(whole.clips) == 7
    # The last clip of the first part ends at the part's end.
    last = whole.clips[1]
    assert last.logmel_offset + last.logmel_bytes + last.flac_bytes == len(parts[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_memory_of_workers_does_not_grow_with_the_movie(tmp_path: Path) -> None:
    """As measured by the benchmark, with shorter movies."""
    peaks = [
        memory.measure(memory.make_film(tmp_path, minutes, "160x96", 24), minutes)
        for minutes in (6.0, 24.0)
    ]
    for kind in memory.KINDS:
        short, long = (found.private_mib[kind] for found in peaks)
        assert short > 20
        assert long < 1.15 * short, (kind, short, long)
    page = memory.page(peaks, "a test's films")
    assert page.count("\n| ") == 2 + len(memory.KINDS)
