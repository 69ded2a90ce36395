"""Runs that enter a movie in the middle equal the run from its start, or the latter is used."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.movie import steps
from pipeline.probe.streams.packets import PacketOrder
from pipeline.video.reports.entry_proof import EntryProof
from tests.support.films import joined
from tests.support.films.media import Film, make_film
from tests.support.films.opened import source_of
from tests.support.films.oracle import everything, judged, plan_of
from tests.support.samples import mostly_slow

AAC = ("-c:a", "aac", "-ar", "44100")
SECONDS = 24
TRUTH = [(Fraction(number, 25), number) for number in range(25 * SECONDS)]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lossless = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
    film = Film(seconds=SECONDS, video=lossless, audio=("-c:a", "pcm_s16le"), gop=1)
    return make_film(tmp_path_factory.mktemp("master") / "master.nut", film)


#: Name -> (container, encoder, filter of the second part).
CONFIGURATIONS = {
    "h264 flv": ("flv", joined.H264, "scale=288:168"),
    "hevc flv": ("flv", joined.HEVC, "scale=288:168"),
    "h264 flv, same": ("flv", joined.H264, "null"),
    "h264 mov": ("mov", joined.H264, "scale=288:168"),
    "hevc mov": ("mov", joined.HEVC, "scale=384:224"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_new_decoder_configuration_in_the_middle(case: str, master: Path, tmp_path: Path) -> None:
    """Sequence headers of FLV, sample descriptions of MOV: seeking past them would miss them."""
    kind, codec, graph = CONFIGURATIONS[case]
    suffix, join = (".flv", joined.join_flv) if kind == "flv" else (".mp4", joined.join_mov)
    change = joined.CHANGE_SECONDS
    first = joined.cut(master, tmp_path / f"1{suffix}", 0, change, "null", *codec, *AAC)
    second = joined.cut(master, tmp_path / f"2{suffix}", change, SECONDS, graph, *codec, *AAC)
    plan = plan_of(join(first, second, tmp_path / f"film.{kind}"))
    # The same configuration again is none of its own.
    end = SECONDS if graph == "null" else change
    assert plan.probe.packet_order.num_configured == 25 * end
    assert (end - 5) * 1_000_000_000 < max(plan.probe.keyframes_ns) < end * 1_000_000_000
    num_wrong, whole = judged(plan, TRUTH)
    assert num_wrong == 0
    assert plan.end_clip == 15
    for seconds in (1.7, 5.0, 9.0):
        assert everything(plan_of(tmp_path / f"film.{kind}", seconds=seconds)) == whole


@pytest.mark.parametrize("suffix", mostly_slow([".mp4", ".mkv", ".ts"], (".mkv",)))
def test_other_times_after_a_seek_are_noticed(suffix: str, master: Path, tmp_path: Path) -> None:
    """If the packet list disagrees, each segment is decoded from the start, with equal results."""
    path = joined.cut(master, tmp_path / f"film{suffix}", 0, 12, "null", *joined.H264, *AAC)
    whole = everything(plan_of(path))
    plan = plan_of(path, seconds=3.1)
    order = plan.probe.packet_order
    shifted = order.pts() + np.where(np.arange(len(order.pts())) % 50 == 49, 1, 0)
    probe = dataclasses.replace(
        plan.probe, packet_order=PacketOrder.of(shifted.tolist(), order.num_configured)
    )
    disagreeing = dataclasses.replace(plan, probe=probe)
    assert everything(disagreeing) == whole
    for trusted, doubted in zip(plan.segments[1:], disagreeing.segments[1:], strict=True):
        assert steps.run_segment(plan, trusted, source_of(plan))[0].num_runs == 1
        assert steps.run_segment(disagreeing, doubted, source_of(plan))[0].num_runs > 1


def _proof(listed: list[int], seen: list[int], entry: int) -> EntryProof:
    proof = EntryProof(PacketOrder.of(listed, len(listed)), entry)
    for pts in seen:
        proof.note(f"[vist] [info] demuxer -> ist_index:0:0 type:video pkt_pts:{pts} pkt_pts_time:")
    return proof


#: Two GOPs with B-frames; the second can be entered at 6.
LISTED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9]


def test_a_run_that_reads_the_listed_packets() -> None:
    assert _proof(LISTED, [6, 5, 8, 7, 10, 9], 6).holds_until(10)
    # Packets before the entry do not matter, nor does how far the demuxer is ahead.
    assert _proof(LISTED, [3, 99, 6, 5, 8, 7], 6).holds_until(7)
    assert _proof(LISTED, [6, 5, 8, 7, 77], 6).holds_until(7)


@pytest.mark.parametrize(
    ("seen", "entry"),
    [
        ([6, 5, 9, 8, 11, 10], 6),  # other times
        ([6, 8, 7, 10, 9], 6),  # a packet is missing
        ([6, 5, 5, 8, 7, 10, 9], 6),  # a duplicate packet
        ([8, 7, 10, 9], 6),  # never reached the entry
        ([6, 5], 6),  # ended too early
        ([11, 12], 11),  # an entry that is not listed
        ([], 6),
    ],
)
def test_a_run_that_reads_other_packets(seen: list[int], entry: int) -> None:
    assert not _proof(LISTED, seen, entry).holds_until(10)


def test_the_order_of_packets_takes_little_memory() -> None:
    pts = [3600 * number + (7200 if number % 3 else 0) for number in range(100_000)]
    order = PacketOrder.of(pts, 50_000)
    assert order.pts().tolist() == pts
    assert len(order.deltas) < 20_000
    keyframes = np.array([pts[0], pts[49_998], pts[50_002]])
    assert order.is_configured_at(keyframes).tolist() == [True, True, False]
