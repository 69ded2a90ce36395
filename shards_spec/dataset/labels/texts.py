"""Bytes of text files of strangers as text: byte order marks, UTF-16, other encodings."""

from __future__ import annotations

import codecs

from shards_spec.errors import InputError

#: Longer files are refused, bytes.
MAX_BYTES = 1 << 30

#: What text is that is not UTF-8, more often than anything else.
FALLBACK = "cp1252"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes, name: str, encoding: str = "") -> str:
    """Text of a file; `encoding` only counts where no byte order mark names another.

    Raises `InputError`, with the position, for bytes that are not of that encoding.
    """
    found = next((codec for mark, codec in _MARKS if data.startswith(mark)), encoding or "utf-8")
    try:
        text = data.decode(found)
    except LookupError as error:
        raise InputError(f"--encoding {encoding}: Python knows no such encoding") from error
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        line = data[:position].count(b"\n") + 1
        raise InputError(
            f"{name} line {line}: byte {position} is not {found}; name its encoding, such as "
            f"--encoding {FALLBACK}"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{name} contains NUL characters: it is not text, or UTF-16 without a byte order mark "
            "(--encoding utf-16-le)"
        )
    return text
