"""Keeps secrets out of everything that is written: logs, index, reports, messages.

An address may contain a secret: `https://user:password@host/x`, or a signed query. Both parts are
replaced by `***` wherever an address leaves the process that uses it.
"""

from __future__ import annotations

import re

#: scheme://user:password@  (the user name is part of the secret)
_LOGIN = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@?#'\"]*@")
#: ?query or ;sas of an address, up to the next blank or quote
_QUERY = re.compile(r"(?P<location>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s?'\"]*)\?[^\s'\",;)]+")
#: The usual names of secrets in queries, also where the address in front of them was cut off.
_NAMED = re.compile(
    r"(?i)\b(?P<name>[a-z0-9_-]*(?:signature|credential|security-token|access_?key(?:id)?|secret"
    r"|password|\bsig|token))=[^\s&'\",;)]+"
)
_HIDDEN = "***"


def redacted(text: str) -> str:
    """`text` without the logins and queries of addresses in it."""
    text = _LOGIN.sub(rf"\g<scheme>{_HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<location>?{_HIDDEN}", text)
    return _NAMED.sub(rf"\g<name>={_HIDDEN}", text)
