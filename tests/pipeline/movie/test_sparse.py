"""A recipe that wants few clips makes the same ones as a recipe that wants all, by either route."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Decode, Seeks
from pipeline.movie import steps
from pipeline.movie.selection import select_clips
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources.corpus import find_movies
from pipeline.video.segment import VideoSegment
from shards_spec.recipe import Recipe
from shards_spec.schema.dropped import DroppedClips
from tests.support.films import damage
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened
from tests.support.films.oracle import RECIPE, decoded_audio, decoded_segments, movie_frames
from tests.support.samples import mostly_slow

ALL = replace(RECIPE, num_frames=4, short_side=64, store_audio=True)
FEW = replace(ALL, clips_per_movie=4)

_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
_FILM = Film(seconds=12, width=96, height=64, gop=25, video=(*_X264, "-bf", "3"))

Made = dict[int, tuple[dict[str, Any], bytes, bytes]]


def planned(
    path: Path,
    recipe: Recipe,
    seeks: Seeks = "auto",
    seconds: float = 1000.0,
    decode: Decode = "exact",
) -> MoviePlan:
    (movie,) = find_movies(str(path))
    return steps.prepare(movie, opened(movie), recipe, seconds, "keep", decode, seeks)


def made(plan: MoviePlan) -> tuple[Made, DroppedClips, list[VideoSegment]]:
    """Kept clips by number: row, film strip, and audio members; what was dropped; the segments."""
    segments = decoded_segments(plan)
    videos = [video for video, _ in segments]
    placed = steps.with_clips(plan, videos)
    frames = movie_frames(placed, segments)
    audio, data = decoded_audio(plan, videos)
    clips, dropped = select_clips(placed, frames, audio.clips)
    assert len(clips) + len(dropped) - len(placed.short_shots) == placed.num_clips
    found: Made = {}
    for clip in clips:
        number, part = clip.content.clip_number, clip.audio
        end = part.logmel_offset + part.logmel_bytes + part.flac_bytes
        members = data[part.logmel_offset : end].tobytes()
        found[number] = (asdict(clip.content), frames.strip(number), members)
    return found, dropped, videos


def require_same(path: Path, few: Recipe = FEW, decode: Decode = "exact") -> Made:
    """Both routes, in any segments, make some of the clips that the full run makes."""
    full, _, _ = made(planned(path, replace(few, clips_per_movie=0), decode=decode))
    one_pass = planned(path, few, "never", decode=decode)
    sparse, dropped, _ = made(one_pass)
    chosen = steps.with_clips(one_pass, []).numbers
    assert set(sparse) == set(full) & set(chosen), "a clip is kept if the full run keeps it"
    for number, (row, *members) in sparse.items():
        whole_row, *whole_members = full[number]
        assert members == whole_members
        assert row | {"shot_id": 0} == whole_row | {"shot_id": 0}
    for seconds in (1000.0, 2.0):
        found = made(planned(path, few, "always", seconds, decode))
        assert found[:2] == (sparse, dropped), seconds
    return sparse


def _flicker(path: Path, codec: tuple[str, ...] = (*_X264, "-bf", "3")) -> Path:
    """Bursts of cuts, some of them at keyframes and closer together than shots may be."""
    hue = "hue='H=2*PI*floor(t*4.7)/3*lt(mod(t,2.3),1.3)'"
    inputs = ("-f", "lavfi", "-i", f"color=c=orange:s=96x64:r=25:d=14,{hue},noise=alls=20:allf=t")
    sound = ("-f", "lavfi", "-i", "sine=d=14")
    ffmpeg(*inputs, *sound, *codec, "-g", "25", "-c:a", "aac", "-shortest", path)
    return path


def _variable(path: Path) -> Path:
    film = make_film(path.with_name("steady.mkv"), _FILM)
    choice = "select='lt(mod(n,13),4)+eq(mod(n,7),0)'"
    ffmpeg("-i", film, "-vf", choice, "-fps_mode", "vfr", *_X264, "-g", "9", "-c:a", "copy", path)
    return path


def _cut_off(path: Path) -> Path:
    film = make_film(path.with_name("whole.mkv"), _FILM)
    path.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 4])
    return path


def _interlaced(path: Path) -> Path:
    video = ("-c:v", "mpeg2video", "-bf", "2", "-flags", "+ilme+ildct", "-top", "1")
    return make_film(path, replace(_FILM, video=(*video, "-vf", "setfield=tff")))


def _damaged(make: Callable[..., None], share: float, seed: int, **changes: Any) -> Any:
    def movie(path: Path) -> Path:
        film = make_film(path.with_name(f"intact{path.suffix}"), replace(_FILM, **changes))
        make(film, path, random.Random(seed), share)
        return path

    return movie


_MPEG2 = ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "4")
#: Name -> (ending, what writes the movie).
MOVIES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "b-frames": (".mp4", lambda path: make_film(path, _FILM)),
    "one keyframe": (".mkv", lambda path: make_film(path, replace(_FILM, gop=1000))),
    "cuts": (".mkv", _flicker),
    "cuts, long groups": (".mp4", lambda path: _flicker(path, (*_X264, "-sc_threshold", "0"))),
    "variable rate": (".mkv", _variable),
    "cut off": (".mkv", _cut_off),
    "interlaced": (".ts", _interlaced),
    "transport stream": (".ts", lambda path: make_film(path, replace(_FILM, video=_MPEG2))),
    "noise": (".mkv", _damaged(damage.rot, 0.03, 1)),
    "wrong bits": (".mp4", _damaged(damage.flip, 0.03, 2)),
    "lost frames": (".mkv", _damaged(damage.lose, 0.03, 3)),
    "lost keyframes": (".mkv", _damaged(damage.lose_keys, 0.4, 4)),
    "lost packets": (".ts", _damaged(damage.lose_ts, 0.01, 5, video=_MPEG2)),
    "lost keyframes of a stream": (".ts", _damaged(damage.lose_ts_keys, 0.3, 6)),
}


@pytest.mark.parametrize("kind", mostly_slow(MOVIES, ["cuts"]))
def test_few_clips_are_those_of_the_full_run(kind: str, tmp_path: Path) -> None:
    suffix, write = MOVIES[kind]
    require_same(write(tmp_path / f"film{suffix}"))


#: Recipes that want few clips, or a share of them, of other lengths and rates.
RECIPES = {
    "one": {"clips_per_movie": 1},
    "two, overlapping": {"clips_per_movie": 2, "overlap_frames": 2},
    "a third": {"clips_per_movie": 0.3, "seed": 1},
    "more than half": {"clips_per_movie": 0.6, "seed": 2, "num_frames": 2},
    "fast": {"clips_per_movie": 5, "num_frames": 2, "fps": 12.5, "seed": 3},
    "more than there are": {"clips_per_movie": 100},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOVIES)
@pytest.mark.parametrize("changes", RECIPES)
def test_any_number_of_clips(kind: str, changes: str, tmp_path: Path) -> None:
    """Decoders see every frame: damage elsewhere then cannot matter for frames left out."""
    suffix, write = MOVIES[kind]
    recipe = replace(ALL, **RECIPES[changes])
    require_same(write(tmp_path / f"film{suffix}"), recipe, "full")


@pytest.mark.slow
def test_fast_mode_decodes_around_few_clips_too(tmp_path: Path) -> None:
    """Without frames to leave out; each run ends at a gap."""
    video = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0")
    path = make_film(tmp_path / "film.mp4", replace(_FILM, video=video))
    fast = replace(FEW, fast_decode=True, clips_per_movie=3)
    full, _, _ = made(planned(path, replace(fast, clips_per_movie=0)))
    plan = planned(path, fast, "always")
    found, _, videos = made(plan)
    assert plan.route.name == "seeks"
    assert sum(video.num_runs for video in videos) == 3
    for number, (row, *members) in found.items():
        assert tuple(members) == full[number][1:]
        assert row | {"shot_id": 0} == full[number][0] | {"shot_id": 0}
