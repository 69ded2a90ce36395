"""One size of VP9 and AV1 frames is proved from their headers, or not at all."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pipeline.ffmpeg.binaries import decodable_codecs
from pipeline.probe.frame_headers import av1_frames, vp9_frames
from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.frame_headers.one_size import examine_headers
from pipeline.probe.frame_headers.placed_packets import data_ranges
from pipeline.probe.streams.packets import Packets, read_packets
from pipeline.probe.streams.stream_list import StreamList, list_streams
from pipeline.probe.streams.video_stream import VideoStream, choose_video
from pipeline.sources import Readable
from pipeline.sources.corpus import find_movies
from tests.support.films.media import ffmpeg
from tests.support.films.opened import opened
from tests.support.films.packets import placed
from tests.support.samples import mostly_slow

#: With frames that are never shown, which share packets with others.
HIDDEN = ("-auto-alt-ref", "1", "-lag-in-frames", "16")
VP9 = ("-c:v", "libvpx-vp9", "-b:v", "90k", "-g", "25", "-cpu-used", "5", *HIDDEN)
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params")
#: Packets of libvpx: the size changes after two and after four frames, without a keyframe.
RESIZED = (
    "824983420009f005f60038241c1842000030600000673fffff5f11613bb8cf864f80",
    "860040929c0049400003600000759bfffdb851b50f0daef800",
    "8600409000278017a70012b00000c06000000133ffffa37500000cc000",
    "860040929c0049c000036000000133ffffa29500000cc000",
    "860040914e002450000180600000759bfffe00442f4b610c77c000",
    "860040929c0047800003600000759bfffe9276a7ca33804880",
)


class _Film:
    """A movie with what is known about it before its headers are read."""

    def __init__(self, path: Path) -> None:
        (movie,) = find_movies(str(path))
        self.source: Readable = opened(movie)
        self.listed: StreamList = list_streams(movie, self.source)
        options, container = self.listed.options, self.listed.container
        self.packets: Packets = read_packets(movie, self.source, options, container)
        codecs = decodable_codecs() | {"av1"}
        self.video: VideoStream = choose_video(movie, self.listed, self.packets, codecs)

    @property
    def is_proved(self) -> bool:
        same = examine_headers(self.source, self.listed, self.video, self.packets)
        assert not same.is_plain
        assert not same.are_configured_once
        return same.has_one_shape

    def ranges(self) -> list[tuple[int, int]]:
        with self.source.opened() as read:
            return list(data_ranges(read, self.listed, self.packets.video[0]))


def encode(path: Path, *options: str, size: str = "128x96", seconds: float = 1.5) -> Path:
    """A movie of a moving picture, in two passes if the encoder is libvpx's."""
    pattern = f"testsrc2=size={size}:rate=25:duration={seconds}"
    source = ("-f", "lavfi", "-i", pattern, *options, "-threads", "1")
    if "libvpx-vp9" in options:
        log = str(path.with_name("log"))
        ffmpeg(*source, "-pass", "1", "-passlogfile", log, "-f", "null", "-")
        source = (*source, "-pass", "2", "-passlogfile", log)
    ffmpeg(*source, path)
    return path


def sizes_of(path: Path) -> set[tuple[int, int]]:
    """Of the frames, according to PyAV."""
    with av.open(str(path)) as container:
        return {(frame.width, frame.height) for frame in container.decode(video=0)}


def remux(source: Path, path: Path) -> Path:
    ffmpeg("-i", source, "-c", "copy", path)
    return path


def join(parts: list[Path], path: Path) -> Path:
    listed = path.with_name("list.txt")
    listed.write_text("".join(f"file {part}\n" for part in parts))
    ffmpeg("-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", path)
    return path


def write_ivf(path: Path, packets: list[bytes]) -> Path:
    """A VP9 stream of 160x96 in the simplest container."""
    head = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP90", 160, 96, 25, 1, len(packets), 0)
    frames = [struct.pack("<IQ", len(data), at) + data for at, data in enumerate(packets)]
    path.write_bytes(head + b"".join(frames))
    return path


VP9_FILMS = {
    "webm": (".webm", VP9),
    "mkv, full color": (".mkv", (*VP9, "-pix_fmt", "yuv444p", "-profile:v", "1")),
    "mp4": (".mp4", VP9),
    "mov, rgb": (".mp4", (*VP9, "-pix_fmt", "gbrp", "-profile:v", "1")),
    "webm, resilient": (".webm", (*VP9, "-error-resilient", "default")),
}


@pytest.mark.parametrize("case", mostly_slow(VP9_FILMS, ("webm", "mkv, full color", "mp4")))
def test_an_ordinary_vp9_stream_has_one_size(case: str, tmp_path: Path) -> None:
    suffix, options = VP9_FILMS[case]
    path = encode(tmp_path / f"film{suffix}", *options)
    film = _Film(path)
    assert film.is_proved
    assert sizes_of(path) == {(128, 96)}
    with film.source.opened() as read:
        counts = [len(list(vp9_frames._frames(read, *places))) for places in film.ranges()]
    assert max(counts) == 2 or "resilient" in case


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_vp9_that_changes_at_a_keyframe_is_not_proved(suffix: str, tmp_path: Path) -> None:
    parts = [encode(tmp_path / f"{s}.webm", *VP9, size=s) for s in ("128x96", "160x112")]
    path = join(parts, tmp_path / f"film{suffix}")
    assert not _Film(path).is_proved
    assert len(sizes_of(path)) == 2


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_vp9_that_changes_without_a_keyframe_is_not_proved(suffix: str, tmp_path: Path) -> None:
    packets = [bytes.fromhex(packet) for packet in RESIZED]
    path = remux(write_ivf(tmp_path / "film.ivf", packets), tmp_path / f"film{suffix}")
    assert sizes_of(path) == {(160, 96), (80, 48)}
    assert not _Film(path).is_proved
    start = remux(write_ivf(tmp_path / "start.ivf", packets[:2]), tmp_path / f"start{suffix}")
    assert _Film(start).is_proved


def test_a_container_with_another_size_is_not_proved(tmp_path: Path) -> None:
    film = _Film(encode(tmp_path / "film.webm", *VP9, seconds=0.4))
    assert film.is_proved
    film.video = replace(film.video, width=256)
    assert not film.is_proved


def test_encrypted_or_unknown_streams_are_not_proved(tmp_path: Path) -> None:
    film = _Film(encode(tmp_path / "film.webm", *VP9, seconds=0.4))
    packets = film.packets
    film.packets = replace(packets, encrypted=frozenset({0}))
    assert not film.is_proved
    film.packets = packets
    for change in ({"options": (("probesize", "9"),)}, {"container": "avi"}):
        listed = film.listed
        film.listed = replace(listed, **change)
        assert not film.is_proved
        film.listed = listed
    film.video = replace(film.video, codec="vp8")
    assert not film.is_proved


@pytest.mark.parametrize("added", [-1, 1, 4])
def test_frames_that_are_not_stored_as_they_are_are_not_proved(added: int, tmp_path: Path) -> None:
    """Matroska can omit the first bytes of frames; then listed sizes are not the stored ones."""
    film = _Film(encode(tmp_path / "film.webm", *VP9, seconds=0.4))
    table = film.packets.video[0]
    size = table.size.copy()
    size[3] += added
    film.packets = replace(film.packets, video={0: replace(table, size=size)})
    with pytest.raises(UnexpectedDataError, match="does not hold a frame alone"):
        film.ranges()
    assert not film.is_proved


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_a_vp9_file_that_is_cut_off_is_not_proved(suffix: str, tmp_path: Path) -> None:
    path = encode(tmp_path / f"film{suffix}", *VP9, seconds=0.4)
    film = _Film(path)
    last = int(film.packets.video[0].position.max())
    path.write_bytes(path.read_bytes()[: last + 2])
    assert not film.is_proved


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_damaged_vp9_headers_are_not_proved(suffix: str, tmp_path: Path) -> None:
    path = encode(tmp_path / f"film{suffix}", *VP9, seconds=0.4)
    data = path.read_bytes()
    film = _Film(path)
    key, *others = [start for start, _ in film.ranges()]
    # Marker, sync code, width, height; marker of another frame.
    for at, mask in ((key, 0x40), (key + 2, 1), (key + 5, 1), (key + 7, 1), (others[1], 0x80)):
        damaged = bytearray(data)
        damaged[at] ^= mask
        path.write_bytes(damaged)
        assert not film.is_proved, at
    path.write_bytes(data)
    assert film.is_proved


AV1_FILMS = {
    "mp4": (".mp4", (*AV1, "lp=1")),
    "mkv, 10 bits": (".mkv", (*AV1, "lp=1", "-pix_fmt", "yuv420p10le")),
    "webm, encoded narrower": (".webm", (*AV1, "lp=1:superres-mode=1:superres-denom=12")),
    "mp4, screen content": (".mp4", (*AV1, "lp=1:scm=1")),
    "mp4, real time": (".mp4", (*AV1, "lp=1:pred-struct=1:rtc=1")),
}


@pytest.mark.parametrize("case", mostly_slow(AV1_FILMS, ("mp4", "webm, encoded narrower")))
def test_an_ordinary_av1_stream_has_one_size(case: str, tmp_path: Path) -> None:
    suffix, options = AV1_FILMS[case]
    path = encode(tmp_path / f"film{suffix}", *options)
    assert _Film(path).is_proved
    assert sizes_of(path) == {(128, 96)}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_av1_that_changes_is_not_proved(suffix: str, tmp_path: Path) -> None:
    parts = [encode(tmp_path / f"{s}.mp4", *AV1, "lp=1", size=s) for s in ("128x96", "160x112")]
    joined = join(parts, tmp_path / f"joined{suffix}")
    resized = encode(tmp_path / f"resized{suffix}", *AV1, "lp=1:resize-mode=1:resize-denom=12")
    for path in (joined, resized):
        assert not _Film(path).is_proved
        assert len(sizes_of(path)) == 2


def test_av1_units_that_are_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", *AV1, "lp=1", seconds=0.4)
    data, film = path.read_bytes(), _Film(path)
    start, end = film.ranges()[0]
    packet = data[start:end]
    # A sequence header of ten bytes with its size in front, then the frame.
    assert packet[:2] == b"\x0a\x0a"
    sequence, frame = packet[:12], packet[12:]

    def size(*packets: bytes, keys: tuple[bool, ...] = (True, False)) -> tuple[int, int] | None:
        return av1_frames.find_size(*placed(packets), keys[: len(packets)])

    assert size(packet, frame) == (128, 96)
    assert size(packet, packet, keys=(True, True)) == (128, 96)
    assert size(packet, b"\x12\0" + frame) == (128, 96)
    without_size = bytes([frame[0] & ~2]) + frame[1 + _num_size_bytes(frame) :]
    assert size(packet, without_size) == (128, 96)
    refused = (
        (frame,),
        (packet[:-1],),
        (packet, frame + b"\x12"),
        (packet, b"\x12\x01"),
        (packet, bytes([sequence[0] | 4, 0]) + sequence[1:] + frame),
        (packet, bytes([sequence[0] | 0x80]) + sequence[1:] + frame),
        (packet, b"\x42\0" + frame),
        (packet, sequence[:-1] + b"\x03" + frame),
        (packet, b"\x12" + b"\xff" * 9),
        (packet, frame[:3]),
        (packet, b"\x12\0" * 257),
    )
    for packets in refused:
        with pytest.raises(UnexpectedDataError):
            size(*packets)
    with pytest.raises(UnexpectedDataError):
        size(packet, frame, keys=(True, True))


def _num_size_bytes(unit: bytes) -> int:
    return next(number for number, byte in enumerate(unit[1:], 1) if byte < 128)
