"""The play duration that the header of an ASF or WMV file declares.

ffmpeg does not report it for a file that is shorter than its header says, which is exactly when it
is needed.
"""

from __future__ import annotations

import struct

from pipeline.sources import Readable
from shards_spec.recipe import NANOSECONDS

#: As much of the file as is searched for the object with the properties of the file.
_HEADER_BYTES = 1 << 16
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
#: After its identifier: size of the object, identifier and size of the file, creation date, number
#: of packets, play duration and send duration (100 ns), preroll (ms), flags.
_FIELDS = struct.Struct("<Q16sQQQQQQI")
_IS_BROADCAST = 1


def declared_ns(source: Readable) -> int:
    """Nanoseconds; 0 if the header declares none, as in a broadcast."""
    head = source.read(0, _HEADER_BYTES)
    at = head.find(_FILE_PROPERTIES)
    at += len(_FILE_PROPERTIES)
    if at < len(_FILE_PROPERTIES) or at + _FIELDS.size > len(head):
        return 0
    *_, play, _, preroll, flags = _FIELDS.unpack_from(head, at)
    length_ns = int(play) * 100 - int(preroll) * (NANOSECONDS // 1000)
    return 0 if flags & _IS_BROADCAST else max(0, length_ns)
