"""Where the data of packets is, in files whose structure is beyond doubt.

That is: MP4, MOV and Matroska with every packet where the listing says it is. A few reads per
packet then replace reading the whole movie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.streams.packets import PacketOrder, PacketTable
from pipeline.probe.streams.stream_list import StreamList

#: Bytes [start, end) of the movie; fewer only at its end.
Read = Callable[[int, int], bytes]

#: ffmpeg's names of the demuxers, as they begin.
_MP4, _MATROSKA = "mov,", "matroska,"
#: Identifiers of Matroska's elements `Block` and `SimpleBlock`, and the most bytes that an
#: identifier of one byte and a size have.
_BLOCKS = (0xA1, 0xA3)
_ELEMENT_HEAD = 9
#: The most bytes of a block before its frame: number of the track, time, flags.
_BLOCK_HEAD = 12
#: Bits of a Matroska block's flags that say that several frames share it.
_LACING = 6


def are_placed(listed: StreamList, packets: PacketTable, order: PacketOrder) -> bool:
    """Whether the packets of a video stream are all known, with their positions in the file.

    `packets` are all that are presented, `order` those of a sequential read.
    """
    is_whole = order.num_configured == len(order.pts()) == len(packets)
    return (
        listed.container.startswith((_MP4, _MATROSKA))
        and not listed.options
        and len(packets) > 0
        and is_whole
        and bool((packets.position >= 0).all() and (packets.size > 0).all())
    )


def data_ranges(read: Read, listed: StreamList, packets: PacketTable) -> Iterator[tuple[int, int]]:
    """(start, end) in the file of the data of each packet, which are placed.

    Raises `UnexpectedDataError` if a packet is not stored as it is and alone.
    """
    is_block = listed.container.startswith(_MATROSKA)
    for position, size in zip(packets.position.tolist(), packets.size.tolist(), strict=True):
        start = _after_block_head(read, position, size) if is_block else position
        yield start, start + size


def _after_block_head(read: Read, position: int, size: int) -> int:
    """Where the frame of `size` bytes begins in the Matroska block whose content is at `position`.

    The block must hold nothing else: several frames may share one, and a track may compress its
    frames or omit their first bytes, which the listing does not say.
    """
    at = min(position, _ELEMENT_HEAD)
    data = read(position - at, position + _BLOCK_HEAD)
    # The number of the track takes as many bytes as its first one says.
    length = 12 - data[at].bit_length() if len(data) > at else _BLOCK_HEAD
    flags = data[at + length - 1 : at + length]
    if not flags or flags[0] & _LACING or not _is_block(data[:at], length + size):
        raise UnexpectedDataError("a Matroska block does not hold a frame alone")
    return position + length


def _is_block(before: bytes, size: int) -> bool:
    """Whether the bytes before some content say that it is a block of this size."""
    for length in range(1, len(before)):
        is_named = before[-length - 1] in _BLOCKS and size < 1 << 7 * length
        if is_named and int.from_bytes(before[-length:], "big") == size | 1 << 7 * length:
            return True
    return False
