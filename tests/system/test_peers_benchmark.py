"""The comparison with peers: its arithmetic, and that peers make the clips that a run makes."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.contenders import PEERS, REELSHARDS, version
from benchmarks.peers.page import cheapest_peer, page, ratios, seconds, wall_ratios
from pipeline.audio.features import log_mel
from shards_spec.recipe import Recipe
from shards_spec.sample import FRAMES, LOGMEL, decode_logmel, decode_strip, encode_strip
from tests.support.films.media import ffmpeg

RAY, TORCHCODEC, DAFT = (peer.name for peer in PEERS[:3])


def measured(floor: float, copies: int, **costs: tuple[float, ...]) -> dict[str, Any]:
    """A round: CPU seconds of one movie and of several by contender."""
    names = ("one", "many")
    return {
        "date": "2026-01-02",
        "load_average": 1.0,
        "floor": floor,
        "copies": copies,
        "costs": {
            name: {"clips": 9} | dict(zip(names, values, strict=False))
            for name, values in costs.items()
        },
    }


def kind(*rounds: dict[str, Any]) -> dict[str, Any]:
    return {"about": "a minute of noise", "rounds": list(rounds)}


def test_one_more_movie_costs_the_difference() -> None:
    of_three = measured(5.0, 3, ray=(12.0, 30.0))
    assert seconds(of_three, "ray", "one") == 12.0
    assert seconds(of_three, "ray", "more") == 9.0
    assert seconds(measured(5.0, 1, ray=(12.0,)), "ray", "more") == 0.0
    assert seconds(of_three, "daft", "one") == 0.0


def test_ratios_are_taken_within_a_round() -> None:
    found = kind(
        measured(5.0, 3, reelshards=(10.0, 20.0), ray=(20.0, 60.0)),
        measured(9.0, 3, reelshards=(20.0, 40.0), ray=(60.0, 80.0)),
        measured(9.0, 3, reelshards=(20.0, 40.0)),
    )
    assert ratios(found, "ray", "one") == [2.0, 3.0]
    assert ratios(found, "ray", "more") == [4.0, 1.0]
    assert ratios(found, "daft", "one") == []


def test_the_cheapest_peer_decides_on_the_goal() -> None:
    slow = {RAY: (80.0, 200.0), DAFT: (50.0, 130.0)}
    fast = slow | {TORCHCODEC: (15.0, 39.0)}
    ours = {REELSHARDS.name: (10.0, 20.0)}
    assert cheapest_peer(kind(measured(5.0, 3, **ours, **slow)), "one") == (DAFT, 5.0)
    assert cheapest_peer(kind(measured(5.0, 3, **ours, **fast)), "more") == (TORCHCODEC, 2.4)
    assert cheapest_peer(kind(measured(5.0, 3, **ours)), "more") == ("", 0.0)


def test_the_page_names_what_was_not_measured() -> None:
    failing = measured(5.0, 3, reelshards=(10.0, 20.0), daft=(50.0, 130.0))
    failing["costs"][RAY] = {"failed": "no decoder"}
    text = page(
        {
            "command": "python -m benchmarks.peers",
            "processor": "a processor",
            "cpus": 2,
            "python": "3.11",
            "ffmpeg": "n8",
            "versions": {DAFT: "0.7"},
            "missing": {TORCHCODEC: "No module named 'torchcodec'"},
            "kinds": {"noise": kind(failing)},
        }
    )
    others = ", ".join(peer.name for peer in PEERS if peer.name != DAFT)
    assert f"| CPU of one more movie | daft | 8.00 | not decided: without {others} |" in text
    assert f"| {RAY} | failed: no decoder |" in text
    assert f"{TORCHCODEC} was not measured: No module named 'torchcodec'" in text
    assert f"| {DAFT} | 1 | 9 | 50.0 s | 10.00 | **5.00** | 40.0 s | 8.00 | **8.00** |" in text


@pytest.mark.parametrize(("cost", "verdict"), [(40.0, "met"), (39.0, "not met")])
def test_the_goal_is_met_if_it_is_against_every_peer(cost: float, verdict: str) -> None:
    costs = {peer.name: (90.0,) for peer in PEERS} | {TORCHCODEC: (cost,)}
    found = kind(measured(5.0, 1, reelshards=(10.0,), **costs))
    facts = {"command": "c", "processor": "p", "cpus": 2, "python": "3", "ffmpeg": "8"}
    text = page(facts | {"versions": {}, "missing": {}, "kinds": {"noise": found}})
    assert f"CPU of one movie, cold | torchcodec | {cost / 10:.2f} | {verdict} |" in text


def machine(**walls: float) -> dict[str, Any]:
    """A round on all cores: wall seconds by contender, of which two cores were busy half."""
    times = {name: {"wall": wall, "cpu": wall} for name, wall in walls.items()}
    facts = {"date": "2026-01-02", "load_average": 1.0, "cpus": 2, "copies": 4}
    return facts | {"times": times}


def test_a_machine_is_compared_by_wall_time() -> None:
    rounds = [machine(reelshards=10.0, ray=30.0, daft=50.0), machine(reelshards=20.0, ray=80.0)]
    found = {"about": "a minute of noise", "rounds": [], "machine": rounds}
    assert wall_ratios(found, "ray") == [3.0, 4.0]
    assert wall_ratios(found, "torchcodec") == []
    assert cheapest_peer(found, "machine") == (RAY, 3.5)
    assert cheapest_peer(found, "one") == ("", 0.0)
    facts = {"command": "c", "processor": "p", "cpus": 2, "python": "3", "ffmpeg": "8"}
    text = page(facts | {"versions": {}, "missing": {}, "kinds": {"noise": found}})
    assert "| wall time of a machine | ray | 3.50 | not met |" in text
    assert "4 copies on 2 cores" in text
    assert "| daft | 1 | 50.0 s | **5.00** | 50.0 s | 1.0 |" in text


def test_a_missing_environment_is_a_reason(tmp_path: Path) -> None:
    text, reason = version(PEERS[0], str(tmp_path / "python"))
    assert text == ""
    assert "No such file" in reason


def test_peers_store_what_the_recipe_stores() -> None:
    output = pytest.importorskip("benchmarks.peers.clip_output", exc_type=ImportError)
    recipe = Recipe()
    generator = np.random.default_rng(0)
    samples = generator.normal(0, 0.1, output.CLIP_SAMPLES).astype(np.float32)
    theirs, ours = output.log_mel(samples), log_mel(samples, recipe)
    assert theirs.shape == ours.shape
    assert theirs.dtype == ours.dtype
    assert np.abs(theirs.astype(np.float64) - ours)[:, :-2].max() < 0.1
    frames = np.tile(generator.integers(0, 256, (16, 16, 14, 3), np.uint8), (1, 8, 16, 1))
    sizes = [len(encode_strip(frames, recipe.jpeg_quality)), len(output.film_strip(frames))]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
    assert decode_strip(output.film_strip(frames), 16).shape == frames.shape


@pytest.mark.slow
def test_ray_data_makes_the_same_clips(tmp_path: Path) -> None:
    pytest.importorskip("av")
    pytest.importorskip("PIL")
    movies = tmp_path / "movies"
    movies.mkdir()
    video = ("-f", "lavfi", "-i", "testsrc2=size=448x256:rate=25:duration=8")
    noise = ("-f", "lavfi", "-i", "anoisesrc=color=pink:seed=3:sample_rate=48000:duration=8")
    coders = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest")
    ffmpeg(*video, *noise, *coders, movies / "film.mp4")
    clips = []
    for contender in (REELSHARDS, PEERS[0]):
        out = tmp_path / contender.name
        subprocess.run(contender.command(sys.executable, movies, out), check=True, timeout=300)
        assert contender.num_clips(out) == 2
        (path,) = out.glob(contender.output)
        with tarfile.open(path) as tar:
            members = {name: tar.extractfile(name) for name in sorted(tar.getnames())}
            data = {name: file.read() for name, file in members.items() if file}
        clips.append(
            (
                np.stack([decode_strip(d, 16) for n, d in data.items() if n.endswith(FRAMES)]),
                np.stack([decode_logmel(d) for n, d in data.items() if n.endswith(LOGMEL)]),
            )
        )
    (our_frames, our_mels), (frames, mels) = clips
    assert frames.shape == our_frames.shape
    # Frames of one step earlier or later differ by 15 or more.
    assert np.abs(frames.astype(np.int16) - our_frames).mean() < 6
    assert mels.shape == our_mels.shape
    assert np.corrcoef(mels.ravel().astype(float), our_mels.ravel().astype(float))[0, 1] > 0.99
