"""Single wrong timestamps in transport streams."""

from __future__ import annotations

from pathlib import Path

_PACKET = 188
_TICKS_PER_SECOND = 90_000
_PTS, _DTS = 9, 14


def shift_ts_times(
    path: Path, number: int, pts_seconds: float, dts_seconds: float, pid: int = 256
) -> None:
    """Change the times of one packet of a stream, counted from 0 (ISO/IEC 13818-1, 2.4.3.6)."""
    data = bytearray(path.read_bytes())
    count = -1
    for at in range(0, len(data), _PACKET):
        is_start = data[at + 1] & 0x40
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] != pid or not is_start:
            continue
        count += 1
        if count == number:
            pes = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            has_dts = data[pes + 7] >> 6 == 3
            _shift(data, pes + _PTS, pts_seconds)
            if has_dts:
                _shift(data, pes + _DTS, dts_seconds)
    assert count > number
    path.write_bytes(data)


def _shift(data: bytearray, at: int, seconds: float) -> None:
    field = data[at : at + 5]
    time = (field[0] >> 1 & 7) << 30 | field[1] << 22 | field[2] >> 1 << 15
    time |= field[3] << 7 | field[4] >> 1
    time = (time + round(seconds * _TICKS_PER_SECOND)) % (1 << 33)
    mark = field[0] & 0xF0
    data[at : at + 5] = [
        mark | time >> 29 & 14 | 1,
        time >> 22 & 255,
        time >> 14 & 254 | 1,
        time >> 7 & 255,
        time << 1 & 254 | 1,
    ]
