"""Keeps secrets out of everything that is written: logs, index, reports, messages.

An address may contain a secret: `https://user:password@host/x`, or a signed query. Both parts are
replaced by `***` wherever an address leaves the process that uses it.
"""

from __future__ import annotations

import re

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
