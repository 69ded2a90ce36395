"""ffmpeg decodes MPEG to the same frames, at the same times, if it never sees B pictures."""

from __future__ import annotations

import random
import subprocess
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg.binaries import ffmpeg_path, filters_packets
from pipeline.plan.movie_plan import MoviePlan
from pipeline.probe import Probe
from pipeline.video import selection_of
from pipeline.video.selective.expression import expression
from shards_spec.recipe import NANOSECONDS
from tests.support.films import damage
from tests.support.films.encoders import CLOSED, MPEG1, MPEG2, MPEG4
from tests.support.films.media import Film, make_film
from tests.support.films.oracle import decoded_segments, everything, plan_of
from tests.support.samples import mostly_slow

pytestmark = pytest.mark.skipif(
    not filters_packets(), reason="this ffmpeg cannot leave packets of an input out (before 7.1)"
)

#: Groups of pictures are open unless the name says closed.
CODECS = {
    "mpeg-1": MPEG1,
    "mpeg-2": MPEG2,
    "mpeg-2 closed": (*MPEG2, *CLOSED),
    "mpeg-2 precise": (*MPEG2, "-intra_vlc", "1", "-dc", "2"),
    "mpeg-4": MPEG4,
    "mpeg-4 closed": (*MPEG4, *CLOSED),
    "mpeg-4 vectors": (*MPEG4, "-flags", "+qpel+mv4", "-mpeg_quant", "1"),
    "mpeg-4 parts": (*MPEG4, "-data_partitioning", "1", "-ps", "150"),
}
_CASES = list(product(CODECS, [0, 1, 2, 3], [".mkv", ".mp4"]))
_FEW = [("mpeg-2", 2, ".mkv"), ("mpeg-4", 3, ".mp4")]


@pytest.mark.parametrize("case", mostly_slow(_CASES, _FEW))
def test_frames_without_b_pictures(case: tuple[str, int, str], tmp_path: Path) -> None:
    codec, num_b, suffix = case
    video = (*CODECS[codec], "-bf", str(num_b))
    film = Film(seconds=3, width=96, height=64, gop=12, video=video)
    path = make_film(tmp_path / f"film{suffix}", film)
    probe = plan_of(path).probe
    in_file = probe.packet_order.pts()
    is_b = probe.disposable.is_disposable()
    if num_b == 0:
        assert not is_b.any()
        return
    # The encoder makes no B pictures at the very end.
    assert num_b / (num_b + 1) * 0.85 < is_b.mean() < num_b / (num_b + 1)
    left_out = np.sort(in_file[is_b])
    packets = expression(left_out, int(np.diff(np.sort(in_file)).min()))
    assert len(probe.keyframes_ns) >= 5
    for entry_ns in (None, *probe.keyframes_ns):
        whole = _frames(path, probe, entry_ns)
        entry = probe.start_pts if entry_ns is None else _ticks(probe, entry_ns)
        expected = [frame for frame in whole if frame[0] >= entry and frame[0] not in left_out]
        found = _frames(path, probe, entry_ns, "-bsf:v", f"noise=drop='{packets}'")
        assert [frame for frame in found if frame[0] >= entry] == expected
        assert len(expected) == np.sum(in_file[~is_b] >= entry)


def _ticks(probe: Probe, entry_ns: int) -> int:
    return round(Fraction(entry_ns, NANOSECONDS) / probe.video.time_base) + probe.start_pts


def _frames(path: Path, probe: Probe, entry_ns: int | None, *options: str) -> list[tuple[int, str]]:
    """(pts, checksum) of the decoded frames, from the start or an entry; nothing is reported."""
    command = [ffmpeg_path(), "-v", "warning", "-nostdin", "-threads", "1", "-copyts", *options]
    if entry_ns is not None:
        seconds = float((_ticks(probe, entry_ns) + Fraction(1, 2)) * probe.video.time_base)
        command += ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{seconds:.6f}"]
    command += ["-i", str(path), "-map", "0:v", "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "demux", "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=100)
    assert done.stderr == b""
    rows = [line.split(",") for line in done.stdout.decode().splitlines() if line[0] != "#"]
    return [(int(row[2]), row[5].strip()) for row in rows]


_DAMAGED = ["mpeg-1", "mpeg-2", "mpeg-2 closed", "mpeg-4", "mpeg-4 closed"]
#: Bytes of a packet before its first slice, at most. Of a picture whose headers are damaged, ffmpeg
#: may show what happens to be in memory, with no report: something else in each run.
_HEAD_BYTES = 60


@pytest.mark.parametrize("codec", mostly_slow(_DAMAGED, ["mpeg-2"]))
def test_damage_of_one_picture_that_decoders_see(codec: str, tmp_path: Path) -> None:
    """Whether or not it is noticed, the result is that of decoding all frames."""
    film = Film(seconds=8, width=96, height=64, gop=15, video=CODECS[codec])
    path = make_film(tmp_path / "film.mkv", film)
    pictures, seen = damage.pictures(path), _seen(plan_of(path))
    seen = [number for number in seen if number and pictures[number][1] > 2 * _HEAD_BYTES]
    rng = random.Random(codec)
    num_whole = 0
    for number in rng.sample(seen, 5):
        position, size, _ = pictures[number]
        harmed = bytearray(path.read_bytes())
        for at in rng.sample(range(_HEAD_BYTES, size), 2):
            harmed[position + at] ^= 1 << rng.randrange(8)
        num_whole += _decodes_alike(tmp_path / f"damaged{number}.mkv", harmed)
    assert num_whole >= 1


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("codec", _DAMAGED)
def test_noise_in_many_pictures(codec: str, suffix: str, tmp_path: Path) -> None:
    film = Film(seconds=10, width=320, height=192, gop=30, video=CODECS[codec])
    path = make_film(tmp_path / f"film{suffix}", film)
    for seed in range(3):
        rng, harmed = random.Random(seed), bytearray(path.read_bytes())
        for position, size, _ in damage.pictures(path)[1:]:
            if rng.random() < 0.05 and size > 2 * _HEAD_BYTES:
                at = position + rng.randrange(_HEAD_BYTES, size - size // 8)
                harmed[at : at + size // 8] = rng.randbytes(size // 8)
        assert _decodes_alike(tmp_path / f"damaged{seed}{suffix}", harmed)


def _seen(plan: MoviePlan) -> list[int]:
    """Numbers of the frames, in file order, that decoders see."""
    selection = selection_of(plan)
    assert selection is not None
    left_out = set((selection.pts[selection.is_left_out] + selection.start_pts).tolist())
    times = plan.probe.packet_order.pts().tolist()
    return [number for number, pts in enumerate(times) if pts not in left_out]


def _decodes_alike(path: Path, data: bytes) -> bool:
    """Whether all frames of a movie had to be decoded; the result is that of doing so."""
    path.write_bytes(data)
    plan = plan_of(path)
    whole = everything(plan.whole())
    assert everything(plan) == whole
    assert everything(plan_of(path, seconds=2.1)) == whole
    return not decoded_segments(plan)[0][0].leaves_out
