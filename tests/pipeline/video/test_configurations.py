"""Runs that enter a stream whose decoder configuration changes equal the run from its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.films import joined
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.oracle import everything, judged, plan_of, source_frames

AAC, MP2 = ("-c:a", "aac", "-ar", "44100"), ("-c:a", "mp2")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-g", "25", "-bf", "2")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "3", "-g", "25")
CHANGE, SECONDS = 4, 9
#: Start codes of parameter sets (without the zeros), and what a decoder skips in their place.
SETS = {
    "libx264": {0x67: 0x6C, 0x68: 0x6C},
    "libx265": {0x40: 0x4C, 0x42: 0x4C, 0x44: 0x4C},
    "mpeg2video": {0xB3: 0xB2},
    "mpeg4": {0x20: 0xB2},
}


def _slow(*values: object) -> Any:
    """The parameters of a case that is only run among the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    video = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
    film = Film(seconds=SECONDS, width=96, height=64, gop=1, video=video, audio=("-c:a", "flac"))
    return make_film(tmp_path_factory.mktemp("master") / "master.mkv", film)


def _sent_once(path: Path, codec: str) -> bytes:
    """The bytes of a movie without its parameter sets, except the first ones."""
    data = bytearray(path.read_bytes())
    for code, other in SETS[codec].items():
        at = data.find(bytes([0, 0, 1, code]))
        assert at >= 0
        while (at := data.find(bytes([0, 0, 1, code]), at + 1)) >= 0:
            data[at + 3] = other
    return bytes(data)


def _judge(path: Path, *, num_clips: int) -> None:
    plan = plan_of(path)
    assert plan.end_clip == num_clips
    num_wrong, whole = judged(plan, source_frames(path))
    assert num_wrong == 0
    entered = plan_of(path, seconds=1.7)
    assert len(entered.segments) > 1
    assert everything(entered) == whole


#: Name -> (encoder, ending).
STREAMS = {
    "h264 ts": (joined.H264, ".ts"),
    "hevc ts": (joined.HEVC, ".ts"),
    "mpeg4 avi": (MPEG4, ".avi"),
    "mpeg2 ts": (MPEG2, ".ts"),
    "mpeg4 ts": (MPEG4, ".ts"),
}


@pytest.mark.parametrize(
    "case",
    ["h264 ts", *(pytest.param(name, marks=pytest.mark.slow) for name in [*STREAMS][1:])],
)
def test_parameters_that_are_sent_once(case: str, master: Path, tmp_path: Path) -> None:
    codec, suffix = STREAMS[case]
    whole = joined.cut(master, tmp_path / f"whole{suffix}", 0, SECONDS, "null", *codec, *MP2)
    path = tmp_path / f"film{suffix}"
    path.write_bytes(_sent_once(whole, codec[1]))
    _judge(path, num_clips=5)


@pytest.mark.parametrize(
    "codec",
    [
        joined.H264,
        pytest.param(MPEG4, marks=pytest.mark.slow),
        pytest.param(MPEG2, marks=pytest.mark.slow),
    ],
    ids=lambda codec: codec[1],
)
@pytest.mark.parametrize("times", ["once", pytest.param("always", marks=pytest.mark.slow)])
def test_parameters_that_change(
    times: str, codec: tuple[str, ...], master: Path, tmp_path: Path
) -> None:
    """If the new ones are sent once, later keyframes cannot be entered."""
    parts = []
    for number, (start, end, graph) in enumerate(
        [(0, CHANGE, "null"), (CHANGE, SECONDS, "scale=144:96")]
    ):
        clock = ("-output_ts_offset", str(start), "-muxdelay", "0", "-muxpreload", "0")
        part = tmp_path / f"{number}.ts"
        joined.cut(master, part, start, end, graph, *codec, *MP2, *clock)
        parts.append(_sent_once(part, codec[1]) if times == "once" else part.read_bytes())
    path = tmp_path / "film.ts"
    path.write_bytes(b"".join(parts))
    _judge(path, num_clips=5)
    last = plan_of(path).probe.keyframes_ns[-1] / 1e9
    assert last > 7 if times == "always" else last < CHANGE + 0.5


#: Encoder -> a setting that only one of several parameter sets holds, and that of its other kinds.
LOUD_CHROMA = {
    "libx264": ("-x264-params", "chroma-qp-offset=9", {0x67: 0x6C}),
    "libx265": (
        "-x265-params",
        f"{joined.HEVC[-1]}:cbqpoffs=9:crqpoffs=9",
        {0x40: 0x4C, 0x42: 0x4C},
    ),
}


def _joined_parts(
    master: Path, folder: Path, codec: tuple[str, ...], *second: str, graph: str = "null"
) -> list[bytes]:
    """Two parts of a transport stream: the second begins at `CHANGE` and has other settings."""
    parts = []
    for start, end, scale, options in ((0, CHANGE, "null", ()), (CHANGE, SECONDS, graph, second)):
        clock = ("-output_ts_offset", str(start), "-muxdelay", "0", "-muxpreload", "0")
        part = folder / f"{start}.ts"
        joined.cut(master, part, start, end, scale, *codec, *options, *MP2, *clock)
        parts.append(part.read_bytes())
    return parts


def _skipping(data: bytes, kinds: dict[int, int]) -> bytes:
    for code, other in kinds.items():
        data = data.replace(bytes([0, 0, 1, code]), bytes([0, 0, 1, other]))
    return data


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        (joined.H264, ".mp4"),
        *(_slow(joined.H264, suffix) for suffix in (".mkv", ".mov", ".ts", ".flv")),
        *(_slow(joined.HEVC, suffix) for suffix in (".mkv", ".mov", ".mp4", ".flv")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
@pytest.mark.parametrize("times", ["once", _slow("always")])
def test_only_one_set_changes(
    times: str, codec: tuple[str, ...], suffix: str, master: Path, tmp_path: Path
) -> None:
    """The container's configuration has the old set, which decodes with other colors."""
    option, value, others = LOUD_CHROMA[codec[1]]
    first, second = _joined_parts(master, tmp_path, codec, option, value)
    (tmp_path / "second.ts").write_bytes(second)
    if times == "once":
        second = _sent_once(tmp_path / "second.ts", codec[1])
    path = tmp_path / "joined.ts"
    path.write_bytes(first + _skipping(second, others))
    film = tmp_path / f"film{suffix}"
    if suffix == ".ts":
        film = path
    else:
        ffmpeg("-i", path, "-map", "0", "-c", "copy", "-c:a", "aac", "-ar", "44100", film)
    _judge(film, num_clips=5)
    last = plan_of(film).probe.keyframes_ns[-1] / 1e9
    assert last > 7 if times == "always" else last < CHANGE + 0.5


@pytest.mark.parametrize("suffix", [".mp4", *(_slow(s) for s in (".mkv", ".mov", ".nut"))])
@pytest.mark.parametrize(
    "codec",
    [joined.H264, *(_slow(codec) for codec in (joined.HEVC, MPEG4, MPEG2))],
    ids=lambda codec: codec[1],
)
@pytest.mark.parametrize("times", ["once", _slow("always")])
def test_sets_in_the_stream_of_a_container_with_its_own(
    times: str, codec: tuple[str, ...], suffix: str, master: Path, tmp_path: Path
) -> None:
    parts = _joined_parts(master, tmp_path, codec, graph="scale=144:96")
    (tmp_path / "second.ts").write_bytes(parts[1])
    if times == "once":
        parts[1] = _sent_once(tmp_path / "second.ts", codec[1])
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    film = tmp_path / f"film{suffix}"
    ffmpeg("-i", path, "-map", "0", "-c", "copy", "-c:a", "aac", "-ar", "44100", film)
    _judge(film, num_clips=5)


@pytest.mark.parametrize("suffix", [".mkv", _slow(".mp4"), _slow(".ts")])
@pytest.mark.parametrize(("build", "is_entered"), [(140, False), _slow(164, True)])
def test_an_encoder_whose_errors_are_known(
    build: int, is_entered: bool, suffix: str, master: Path, tmp_path: Path
) -> None:
    """Only the first packet says which x264 made it; ffmpeg decodes 4:4:4 of old ones otherwise."""
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv444p")
    path = joined.cut(master, tmp_path / f"film{suffix}", 0, 6, "null", *codec, *AAC)
    data = path.read_bytes()
    at = data.index(b"x264 - core ") + len(b"x264 - core ")
    path.write_bytes(data[:at] + b"%3d" % build + data[at + 3 :])
    plan = plan_of(path)
    assert (len(plan.probe.keyframes_ns) > 1) == is_entered
    assert everything(plan_of(path, seconds=1.7)) == everything(plan)


@pytest.mark.parametrize(
    "codec", [joined.H264, pytest.param(joined.HEVC, marks=pytest.mark.slow)], ids=lambda c: c[1]
)
def test_the_same_parameters_again_are_no_change(
    codec: tuple[str, ...], master: Path, tmp_path: Path
) -> None:
    """Live streams repeat their sequence header, but can be entered after it."""
    first = joined.cut(master, tmp_path / "1.flv", 0, CHANGE, "null", *codec, *AAC)
    second = joined.cut(master, tmp_path / "2.flv", CHANGE, SECONDS, "null", *codec, *AAC)
    path = joined.join_flv(first, second, tmp_path / "film.flv", CHANGE)
    _judge(path, num_clips=5)
    assert plan_of(path).probe.keyframes_ns[-1] > (CHANGE + 2) * 1e9
