"""Objects on a web server: read-only, over HTTP/1.1, with ranges, retries and redirects.

    WebStore("https://host/films", ...).get("a.mp4?signature=...")

Keys are the rest of the address as it is sent, so that signed addresses work: escapes are kept, and
only characters that no address may contain are escaped. `connection` says where a redirect may lead
and when a server is too slow.

The methods have the interface of obstore's stores, as far as `Storage` uses it.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin

from shards_spec.storage.web.connection import BROKEN, WebAddress, open_connection, redirected

#: Characters that addresses may contain. A `%` is kept only before two hex digits.
_ALLOWED = "/:?#[]@!$&'()*+,;=-._~%"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
#: Responses that another attempt may not get.
_TRANSIENT = (408, 429, 500, 502, 503, 504)
#: Open connections that are kept between requests.
_MAX_IDLE = 32
_PIECE_BYTES = 1 << 18
#: An object that is read as a whole, such as a manifest, is not larger.
_MAX_WHOLE_BYTES = 4 << 30

_Part = tuple[int, int] | None


class WebStore:
    """The objects below an address."""

    def __init__(self, uri: str, max_retries: int, retry_seconds: float) -> None:
        self._base = uri
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self._idle: list[tuple[tuple[str, str, int], http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        # Stores are not closed by those who use them.
        weakref.finalize(self, _close_all, self._idle)

    def head(self, key: str) -> Mapping[str, Any]:
        """Size, ETag and modification time of an object."""
        # A signature is valid for one method, which is GET.
        if "?" not in key:
            response = self._request("HEAD", key, None)
            response.close()
            tells_size = response.status != 200 or response.header("Content-Length")
            if tells_size and response.status not in (403, 405, 501):
                return response.checked(None).meta
        response = self._request("GET", key, (0, 1))
        response.close()
        if response.status == 416:
            # An empty object has no first byte.
            response = self._request("GET", key, None)
            response.close()
        return response.checked(None).meta

    def get(self, key: str, *, options: Mapping[str, Any] | None = None) -> WebResponse:
        """An object, or the part of it from `options["range"]`, a (start, end)."""
        part = (options or {}).get("range")
        response = self._request("GET", key, part)
        try:
            return response.checked(part)
        except OSError:
            response.close()
            raise

    def get_range(self, key: str, *, start: int, length: int) -> bytes:
        """Bytes [start, start + length) of an object; fewer if it is shorter."""
        return self.get(key, options={"range": (start, start + length)}).bytes()

    def _request(self, method: str, key: str, part: _Part) -> WebResponse:
        """Send a request, again after transient failures, and follow its redirects."""
        deadline = time.monotonic() + self._retry_seconds
        for attempt in range(self._max_retries + 1):
            is_last = attempt == self._max_retries or time.monotonic() > deadline
            try:
                response = self._followed(method, key, part)
                if is_last or response.status not in _TRANSIENT:
                    return response
                response.close()
            except BROKEN as error:
                if is_last:
                    raise OSError(f"{type(error).__name__}: {error}") from error
            time.sleep(min(0.1 * 2**attempt, 5.0))
        raise AssertionError("the last attempt returns or raises")

    def _followed(self, method: str, key: str, part: _Part) -> WebResponse:
        origin = WebAddress.of(_escaped(f"{self._base}/{key}" if key else self._base))
        address = origin
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(method, address, part, key)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            location = response.header("Location")
            address = redirected(origin, address, _escaped(urljoin(address.url, location)))
        raise OSError(f"more than {_MAX_REDIRECTS} redirects, the last one to {address.host}")

    def _send(self, method: str, address: WebAddress, part: _Part, key: str) -> WebResponse:
        headers = {"User-Agent": "reelshards", "Accept": "*/*", "Accept-Encoding": "identity"}
        if address.authorization:
            headers["Authorization"] = address.authorization
        if part:
            headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
        while True:
            idle = self._take_idle(address)
            connection = idle or open_connection(address)
            try:
                connection.request(method, address.target, headers=headers)
                raw = connection.getresponse()
                return WebResponse(raw, self, address, connection, key)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                # A server may close an idle connection, which says nothing about the object.
                if idle is None or not isinstance(error, BROKEN):
                    raise

    def _take_idle(self, address: WebAddress) -> http.client.HTTPConnection | None:
        with self._lock:
            for number, (server, connection) in enumerate(self._idle):
                if server == address.server:
                    del self._idle[number]
                    return connection
        return None

    def keep(self, address: WebAddress, connection: http.client.HTTPConnection) -> bool:
        """Keep a connection for the next request; returns whether there is room for it."""
        with self._lock:
            # One to a host that the corpus does not name is checked again for each request.
            if len(self._idle) >= _MAX_IDLE or address.must_be_public or connection.sock is None:
                return False
            self._idle.append((address.server, connection))
        return True


class WebResponse:
    """A response whose body has not been read yet."""

    def __init__(
        self,
        raw: http.client.HTTPResponse,
        store: WebStore,
        address: WebAddress,
        connection: http.client.HTTPConnection,
        key: str,
    ) -> None:
        self._key = key
        self.status = raw.status
        self._raw = raw
        self._store = store
        self._address = address
        self._connection: http.client.HTTPConnection | None = connection
        self._length = 0
        """Bytes of the body that were asked for."""

    def __del__(self) -> None:
        self.close()

    def header(self, name: str) -> str:
        """A header of the response; empty without it."""
        return self._raw.getheader(name) or ""

    @property
    def meta(self) -> Mapping[str, Any]:
        """Size, ETag and modification time of the whole object."""
        return {
            "path": self._key,
            "size": self._total(),
            "e_tag": self.header("ETag"),
            "last_modified": _time(self.header("Last-Modified")),
        }

    def checked(self, part: _Part) -> WebResponse:
        """This response if its body is the requested part. Raises `OSError` otherwise."""
        if self.status in (404, 410):
            raise FileNotFoundError("the server does not have it")
        if self.status in (401, 403, 407):
            raise PermissionError("the server denies access")
        if self.status == 416:
            raise OSError("416 Range Not Satisfiable")
        if self.status not in (200, 206):
            raise OSError(f"the server answered {self.status}")
        if self.header("Content-Encoding").lower() not in ("", "identity"):
            raise OSError("the server compresses it, which was not asked for")
        total = self._total()
        if part is None:
            self._length = total
            return self
        start = int(match[1]) if (match := self._content_range()) else 0
        if start != part[0]:
            raise NotImplementedError("the server does not support ranges; use --sources staged")
        if start >= total:
            raise OSError("416 Range Not Satisfiable")
        self._length = min(part[1], total) - start
        return self

    def stream(self, min_chunk_size: int) -> Iterator[bytes]:
        """The body in pieces. Raises `OSError` if it ends early."""
        missing = self._length
        try:
            while missing:
                data = self._raw.read1(min(missing, max(min_chunk_size, _PIECE_BYTES)))
                if not data:
                    raise OSError(f"response body ended {missing} bytes early")
                missing -= len(data)
                yield data
        except BROKEN as error:
            raise OSError(f"response body: {type(error).__name__}") from error
        finally:
            self.close()

    def bytes(self) -> bytes:
        """The whole body, in memory."""
        if self._length > _MAX_WHOLE_BYTES:
            raise OSError(f"{self._length} bytes are too many to be read at once")
        return b"".join(self.stream(min_chunk_size=1))

    def close(self) -> None:
        """Close the connection, or keep it if nothing of this response is left in it."""
        connection, self._connection = self._connection, None
        is_reusable = self._raw.length == 0 and not self._raw.will_close
        self._raw.close()
        if connection is not None and not (
            is_reusable and self._store.keep(self._address, connection)
        ):
            connection.close()

    def _content_range(self) -> re.Match[str] | None:
        text = self.header("Content-Range") if self.status == 206 else ""
        return _CONTENT_RANGE.fullmatch(text)

    def _total(self) -> int:
        """Size of the whole object, bytes."""
        if match := self._content_range():
            return int(match[2])
        length = self.header("Content-Length")
        if self.status == 206 or not length.isdecimal() or len(length) > 18:
            raise OSError("the server does not report the size; it must send Content-Length")
        return int(length)


def _close_all(idle: list[tuple[tuple[str, str, int], http.client.HTTPConnection]]) -> None:
    for _, connection in idle:
        connection.close()


def _escaped(url: str) -> str:
    """An address with everything escaped that it must not contain, and without its fragment."""
    return quote(_LONE_PERCENT.sub("%25", url), safe=_ALLOWED).partition("#")[0]


def _time(text: str) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
