"""Keeps secrets and control characters out of everything that is shown: logs, reports, messages.

An address may contain a secret: `https://user:password@host/x`, or a signed query. Both parts are
replaced by `***` wherever an address leaves the process that uses it.

Names, tags and messages come from files of strangers. What would steer a terminal, start a new line
of a log, or turn the direction of the text around is replaced by a character that shows it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

#: A path as an address.
_FILE_URI = re.compile(r"file://(/[^\s\"'<>|]*)")
#: scheme://user:password@  (the user name is part of the secret)
_LOGIN = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s?#'\"]*@")
#: ?query of an address, up to the next blank or quote; punctuation at its end is of the sentence.
_QUERY = re.compile(r"(?P<location>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s?'\"]*)\?[^\s'\"]*[^\s'\",;:).]")
#: Web addresses, whose paths and fragments may contain secrets too: ;jsessionid=1A  (S(1A))  #t=1A
_WEB = re.compile(r"(?i)\bhttps?://[^\s'\"]+")
_IN_WEB = (
    re.compile(r"(?P<before>;[^;=/?#]+=)[^;/?#]+"),
    re.compile(r"(?i)(?P<before>/\([a-z]\()[^/?#)]+(?=\))"),
    re.compile(r"(?P<before>#[^=#]*=).+"),
)
#: The usual names of secrets in queries, also where the address in front of them was cut off.
_NAMED = re.compile(
    r"(?i)\b(?P<name>[a-z0-9_-]*(?:signature|credential|security-token|access_?key(?:id)?|secret"
    r"|password|passwd|\bsig|token|api_?-?key|\bauth|jwt|sess(?:ion)?_?-?id|\bsid|key-pair-id))"
    r"=[^\s&'\",;)]+"
)
_HIDDEN = "***"

#: Characters that control a terminal (C0, DEL, C1), break lines, reorder text, hide in it, or are
#: no characters at all (halves of surrogate pairs). The two joiners stay: Persian and Hindi words
#: need them.
_CONTROLS = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0xAD,
    0x061C,
    0x200B,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    *range(0xD800, 0xE000),
    *range(0xE0000, 0xE0080),
)
#: One character for each, so that columns stay aligned: Unicode's control pictures if there is one.
_SHOWN = dict.fromkeys(_CONTROLS, "\N{REPLACEMENT CHARACTER}")
_SHOWN |= {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\N{SYMBOL FOR DELETE}"}
_SHOWN_IN_LINES = {code: shown for code, shown in _SHOWN.items() if code != 0x0A}
#: The same as escapes of JSON, in whose strings alone these characters can occur.
_AS_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS if 0x20 <= code <= 0xFFFF}
_AS_JSON |= {
    code: f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    for code in _CONTROLS
    if code > 0xFFFF
}


def redacted(text: str) -> str:
    """`text` without the logins, queries and session parameters of addresses in it."""
    text = _LOGIN.sub(rf"\g<scheme>{_HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<location>?{_HIDDEN}", text)
    text = _WEB.sub(lambda found: _without_parameters(found[0]), text)
    return _NAMED.sub(rf"\g<name>={_HIDDEN}", text)


def _without_parameters(address: str) -> str:
    for pattern in _IN_WEB:
        address = pattern.sub(rf"\g<before>{_HIDDEN}", address)
    return address


def plain(text: str) -> str:
    """`text` on one line, with every control character replaced by one that shows it."""
    return text.translate(_SHOWN)


def plain_lines(text: str) -> str:
    """The same for a text of several lines: their ends stay."""
    return text.translate(_SHOWN_IN_LINES)


def plain_json(text: str) -> str:
    """JSON text with control characters in its strings escaped, so that it may be shown."""
    return text.translate(_AS_JSON)


def with_paths(text: str) -> str:
    """A text for people, with `/a b` in place of `file:///a%20b`."""

    def path(match: re.Match[str]) -> str:
        return "".join(
            c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in unquote(match[1])
        )

    return _FILE_URI.sub(path, text)
