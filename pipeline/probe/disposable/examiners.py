"""By codec: how an encoded frame is examined, and what the headers of all must agree in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.probe.containers.set_units import sets_of_configuration
from pipeline.probe.disposable import mpeg4_pictures, mpeg12_pictures, units
from pipeline.probe.disposable.h264_sequence import parse_h264_sequence
from pipeline.probe.disposable.units import EncodedFrame
from pipeline.probe.frame_headers.placed_packets import Read

#: Examines the encoded frame at a position of the movie, of so many bytes.
Examiner = Callable[[Read, int, int], EncodedFrame]

#: Codecs whose B pictures are never referred to, whose references have no numbers.
MPEG = mpeg12_pictures.CODECS | {mpeg4_pictures.CODEC}
CODECS = units.CODECS | MPEG

#: Where a decoder configuration says how many bytes the size of a unit has, less one, in two bits.
_LENGTH_AT = {"h264": 4, "hevc": 21}
_SEQUENCE = {"h264": 7, "hevc": 33}


def examiner_of(codec: str, configuration: bytes) -> Examiner | None:
    """How the frames of a stream are examined; None if they cannot be.

    `configuration` is that of the container for the decoder.
    """
    if codec in _LENGTH_AT:
        place = _LENGTH_AT[codec]
        is_usual = configuration[:1] == b"\1" and len(configuration) > place
        is_usual = is_usual and configuration[place] & 3 == units.SIZE_BYTES - 1
        return partial(units.examine, codec) if is_usual else None
    if codec in mpeg12_pictures.CODECS:
        return partial(mpeg12_pictures.examine_picture, codec)
    layers = mpeg4_pictures.layers_in([configuration])
    layer = mpeg4_pictures.parse_layer(layers.pop()) if len(layers) == 1 else None
    return partial(mpeg4_pictures.examine_picture, layer.time_bits) if layer else None


def has_safe_sequence(codec: str, kept: frozenset[bytes], configuration: bytes) -> bool:
    """Whether the same parameters apply to all frames, and leaving some out is safe.

    `kept` are the headers in the packets (see `StreamUnits.kept`), `configuration` is that of the
    container.
    """
    if codec not in MPEG:
        return _has_safe_set(codec, kept, configuration)
    sequence = _mpeg_sequence(codec, kept, configuration)
    is_packed = any(map(mpeg4_pictures.is_packed, (configuration, *kept)))
    return sequence is not None and sequence.is_safe and not is_packed


def size_of(codec: str, kept: frozenset[bytes], configuration: bytes) -> tuple[int, int] | None:
    """Width and height of all frames of an MPEG stream, pixels; None if there may be others.

    The same parameters then apply to all of them. The arguments are as above.
    """
    sequence = _mpeg_sequence(codec, kept, configuration)
    return sequence.size if sequence else None


def _mpeg_sequence(
    codec: str, kept: frozenset[bytes], configuration: bytes
) -> mpeg12_pictures.Mpeg12Sequence | mpeg4_pictures.Mpeg4Layer | None:
    """The only sequence or layer of an MPEG stream."""
    if codec in mpeg12_pictures.CODECS:
        headers = {*kept, mpeg12_pictures.sequence_in(configuration).rstrip(b"\0")} - {b""}
        return mpeg12_pictures.parse_sequence(codec, headers.pop()) if len(headers) == 1 else None
    layers = mpeg4_pictures.layers_in([configuration, *kept])
    return mpeg4_pictures.parse_layer(layers.pop()) if len(layers) == 1 else None


def _has_safe_set(codec: str, kept: frozenset[bytes], configuration: bytes) -> bool:
    """The same for H.264 and HEVC."""
    kind = _SEQUENCE[codec]
    configured = sets_of_configuration(codec, configuration)
    sequences = {unit.rstrip(b"\0") for (of, _), unit in configured.items() if of == kind}
    sequences |= {unit for unit in kept if _kind(codec, unit) == kind}
    if len(sequences) != 1:
        return False
    if codec == "hevc":
        return True
    parsed = parse_h264_sequence(sequences.pop())
    return parsed is not None and parsed.is_safe


def _kind(codec: str, unit: bytes) -> int:
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
