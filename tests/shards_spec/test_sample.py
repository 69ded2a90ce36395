"""The sample codec: round trips, and FormatError for corrupt bytes."""

import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards_spec.dataset.writer import tar_sample
from shards_spec.errors import FormatError
from shards_spec.sample import (
    FRAMES,
    LOGMEL,
    ROW,
    _any_member,
    _plain_member,
    decode_logmel,
    decode_sample,
    decode_strip,
    encode_logmel,
    encode_strip,
    join_strip,
    member_at,
    padded,
    split_jpeg,
    split_members,
)


def flat_frames(values: list[int], height: int = 16, width: int = 24) -> np.ndarray:
    return np.stack([np.full((height, width, 3), value, np.uint8) for value in values])


@given(st.lists(st.integers(0, 255), min_size=1, max_size=6), st.sampled_from([16, 48]))
def test_strip_keeps_flat_frames_separate(values, height):
    frames = flat_frames(values, height)
    decoded = decode_strip(encode_strip(frames, 90), len(values))
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).max() <= 2


def test_strip_frames_do_not_bleed_into_one_another():
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    quiet = np.zeros((16, 24, 3), np.uint8)
    decoded = decode_strip(encode_strip(np.stack([quiet, noise, quiet]), 30), 3)
    assert decoded[0].max() <= 2
    assert decoded[2].max() <= 2


def test_strip_rejects_frames_whose_blocks_would_span_two():
    with pytest.raises(ValueError, match="multiple of 16"):
        encode_strip(np.zeros((2, 24, 24, 3), np.uint8), 90)


@pytest.mark.parametrize("width", [16, 20, 200])
def test_frames_encoded_one_by_one_join_to_the_same_image(width):
    frames = np.random.default_rng(0).integers(0, 256, (11, 32, width, 3), dtype=np.uint8)
    parts = [split_jpeg(encode_strip(frame[None], 80)) for frame in frames]
    heads = {head for head, _ in parts}
    assert len(heads) == 1
    strip = join_strip(heads.pop(), [scan for _, scan in parts])
    assert np.array_equal(decode_strip(strip, 11), decode_strip(encode_strip(frames, 80), 11))
    # ffmpeg's decoder shares no code with the decoder above.
    assert np.array_equal(_planes(strip), _planes(encode_strip(frames, 80)))


def _planes(strip):
    (frame,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(strip))
    return frame.to_ndarray()


@pytest.mark.parametrize("num_frames", [3, 0, -1])
def test_strip_rejects_a_number_of_frames_that_does_not_divide(num_frames):
    with pytest.raises(FormatError, match="does not divide"):
        decode_strip(encode_strip(flat_frames([1, 2]), 90), num_frames)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_strip_rejects_truncated_bytes(share):
    data = encode_strip(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8), 90)
    with pytest.raises(FormatError):
        decode_strip(data[: int(len(data) * share)], 2)


@given(st.integers(1, 5), st.integers(1, 7))
def test_logmel_round_trip(n_mels, num_frames):
    logmel = np.arange(n_mels * num_frames, dtype=np.float16).reshape(n_mels, num_frames)
    decoded = decode_logmel(memoryview(encode_logmel(logmel)))
    assert decoded.dtype == np.float16
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, logmel)


def test_logmel_reads_with_plain_numpy():
    logmel = np.ones((2, 3), np.float16)
    np.testing.assert_array_equal(np.load(io.BytesIO(encode_logmel(logmel))), logmel)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "array",
    [np.ones((2, 3), np.float32), np.ones(3, np.float16), np.ones((3, 2), ">f2"),
     np.asfortranarray(np.ones((2, 3), np.float16))],
)  # fmt: skip
def test_logmel_rejects_other_arrays(array):
    with pytest.raises(FormatError, match="2-D"):
        decode_logmel(npy(array))


def test_logmel_rejects_a_header_that_claims_more_bytes_than_there_are():
    data = encode_logmel(np.ones((10, 10), np.float16))
    with pytest.raises(FormatError, match="bytes"):
        decode_logmel(data.replace(b"(10, 10)", b"(99, 99)"))
    with pytest.raises(FormatError, match="bytes"):
        decode_logmel(data[:-2])


@given(st.binary(max_size=200))
def test_garbage_raises_format_error(data):
    with pytest.raises(FormatError):
        decode_strip(data, 1)
    with pytest.raises(FormatError):
        decode_logmel(data)
    with pytest.raises(FormatError):
        decode_logmel(b"\x93NUMPY\x01\x00" + data)


CLIPS = {f"m_{n:06d}": {"frames.jpg": b"j" * n, "json": b"{}" * n} for n in (3, 0, 600, 512)}
TAR = [tar_sample(clip_id, members) for clip_id, members in CLIPS.items()]


@given(st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_split_of_any_run_of_consecutive_clips(first, last, with_end):
    data = b"".join(TAR[first:last]) + bytes(1024 * with_end)
    found = split_members(data)
    assert list(found) == list(CLIPS)[first:last]
    for clip_id, members in found.items():
        assert {name: bytes(value) for name, value in members.items()} == CLIPS[clip_id]


@given(st.data())
def test_split_rejects_a_cut_anywhere_inside_a_member(data):
    whole = TAR[2]
    cut = data.draw(st.integers(1, len(whole) - 1))
    try:
        members = split_members(whole[:cut])
    except FormatError:
        return
    # Only a cut between members, or in a member's padding, leaves complete members.
    for name, value in members["m_000600"].items():
        assert bytes(value) == CLIPS["m_000600"][name]


@pytest.mark.parametrize("place", [0, 100, 124, 150, 156])
def test_split_rejects_a_broken_header(place):
    broken = bytearray(TAR[0])
    broken[place] ^= 0x55
    with pytest.raises(FormatError, match="byte 0"):
        split_members(broken)


def test_split_rejects_a_duplicate_member():
    with pytest.raises(FormatError, match="twice"):
        split_members(TAR[0] + TAR[0])


def test_split_rejects_stray_bytes():
    with pytest.raises(FormatError, match="3 stray bytes"):
        split_members(TAR[0] + b"abc")


def test_decode_sample_names_the_clip_and_what_is_missing():
    with pytest.raises(FormatError, match=r"m_000003: members \['logmel.npy'\] are missing"):
        decode_sample("m_000003", split_members(TAR[0])["m_000003"])
    members = {"frames.jpg": b"", "logmel.npy": b"", "json": b"[]"}
    with pytest.raises(FormatError, match="clip x"):
        decode_sample("x", {name: memoryview(value) for name, value in members.items()})


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 512), (512, 512), (513, 1024)])
def test_padded(size, expected):
    assert padded(size) == expected


def test_plain_headers_are_read_as_the_standard_library_reads_them() -> None:
    data = bytearray(tar_sample("movie_000001", {FRAMES: b"x" * 700, LOGMEL: b"y"}))
    header = bytes(data[:512])
    assert _plain_member(header) == _any_member(header, 0) == ("movie_000001.frames.jpg", 700)
    for at in range(512):
        broken = bytearray(header)
        broken[at] ^= 0x01
        # A wrong checksum is never plain; headers left to the library are rejected or read alike.
        found = _plain_member(bytes(broken))
        assert found is None or found == ("movie_000001.frames.jpg", 700)


def test_a_member_is_found_by_its_location() -> None:
    members = {FRAMES: b"x" * 700, LOGMEL: b"y" * 512, ROW: b"{}"}
    data = memoryview(tar_sample("movie_000001", members))
    for suffix, start in ((FRAMES, 0), (ROW, 512 + 1024), (LOGMEL, 512 + 1024 + 1024)):
        found = member_at(data, start, f"movie_000001.{suffix}")
        assert found is not None
        assert bytes(found) == members[suffix]
    for name in (f"movie_000002.{FRAMES}", "movie_000001.frames", f"movie_000001.{LOGMEL}"):
        assert member_at(data, 0, name) is None
    assert member_at(data[:1212], 0, f"movie_000001.{FRAMES}") is not None
    for end in (0, 100, 511, 1211):
        assert member_at(data[:end], 0, f"movie_000001.{FRAMES}") is None


@pytest.mark.parametrize(("at", "value"), [(156, b"2"), (345, b"a"), (130, b"x"), (130, b"9")])
def test_a_member_of_another_kind_is_not_found_by_its_location(at: int, value: bytes) -> None:
    """A link, a name that starts elsewhere, a size that is not an octal number."""
    data = bytearray(tar_sample("movie_000001", {FRAMES: b"x" * 700, LOGMEL: b"y"}))
    data[at : at + 1] = value
    assert member_at(memoryview(data), 0, f"movie_000001.{FRAMES}") is None
