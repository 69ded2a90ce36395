"""Connections to web servers: where they may lead, and how slow they may be.

A server that is named by the corpus may be anywhere, except that a *name* never leads to a metadata
service. A redirect stays on the same host, unless `REELSHARDS_REDIRECT_HOSTS` allows others:

    REELSHARDS_REDIRECT_HOSTS="cdn.example.org *.example.net"    these, wherever they are
    REELSHARDS_REDIRECT_HOSTS="*"                                all with public addresses

The address that was checked is the one that is connected to. Proxies are taken from the usual
variables (`https_proxy`, `no_proxy`); then it is the proxy that resolves names.
"""

from __future__ import annotations

import base64
import fnmatch
import functools
import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
import urllib.request
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

_CONNECT_SECONDS = 10.0
#: A response must deliver this many bytes per second of waiting for it, on average over a window.
SLOW_WINDOW_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 1024
_BUFFER_BYTES = 1 << 16
#: Metadata services whose addresses are not link-local.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)


#: Failures of a connection that say nothing about the object.
BROKEN = (
    *(http.client.HTTPException, ConnectionError, TimeoutError, socket.gaierror),
    *(ssl.SSLEOFError, ssl.SSLZeroReturnError),
)


class RedirectRefusedError(PermissionError):
    """A server leads to an address that its corpus does not name."""


class SlowServerError(OSError):
    """A server sends too little to ever finish."""


@dataclass(frozen=True)
class WebAddress:
    """An address, taken apart."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they are sent."""
    authorization: str = ""
    """Header for a login in the address; empty without one."""
    must_be_public: bool = False
    """Whether the host's name must lead to a public address."""

    @staticmethod
    def of(url: str) -> WebAddress:
        """From an escaped address. Raises `ValueError` if it is not one of a web server."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not the address of a web server")
        login = unquote(parts.netloc.rpartition("@")[0]).encode()
        return WebAddress(
            scheme=parts.scheme,
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 80),
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            authorization=f"Basic {base64.b64encode(login).decode()}" if login else "",
        )

    @property
    def server(self) -> tuple[str, str, int]:
        """What a connection is made to."""
        return (self.scheme, self.host, self.port)

    @property
    def url(self) -> str:
        """The address without its login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.target}"


def redirected(origin: WebAddress, current: WebAddress, url: str) -> WebAddress:
    """The address that a redirect from `current` leads to.

    Raises `RedirectRefusedError` if it is neither on the host of `origin`, which the corpus names,
    nor on one that the environment allows; and for https that leads to http.
    """
    try:
        target = WebAddress.of(url)
    except ValueError as error:
        raise RedirectRefusedError("leads to something that is not a web address") from error
    if current.scheme == "https" and target.scheme == "http":
        raise RedirectRefusedError(f"leads from https to http://{target.host}")
    upgrade = (current.scheme, current.port, target.scheme, target.port) == (
        "http",
        80,
        "https",
        443,
    )
    if target.host == origin.host and (upgrade or target.port == current.port):
        return replace(target, authorization=origin.authorization)
    allowed = os.environ.get("REELSHARDS_REDIRECT_HOSTS", "").replace(",", " ").split()
    if any(name != "*" and fnmatch.fnmatch(target.host, name.lower()) for name in allowed):
        return replace(target, authorization="")
    if "*" not in allowed:
        raise RedirectRefusedError(
            f"leads to another host, {target.host}:{target.port}; use its address in the corpus "
            "instead, or allow it with REELSHARDS_REDIRECT_HOSTS"
        )
    return replace(target, authorization="", must_be_public=True)


def open_connection(address: WebAddress) -> http.client.HTTPConnection:
    """A new connection, through a proxy if the environment names one."""
    proxy = _proxy_of(address)
    if proxy is not None:
        _check_ip(address, address.host)
        return _through_proxy(address, proxy)
    if address.scheme == "https":
        return _TlsConnection(address)
    return _Connection(address)


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, whose responses must not be too slow."""

    def __init__(self, address: WebAddress) -> None:
        super().__init__(address.host, address.port, timeout=_CONNECT_SECONDS)
        self.response_class = _PacedResponse
        self._address = address

    def connect(self) -> None:
        self.sock = _connected(self._address)


class _TlsConnection(_Connection):
    def connect(self) -> None:
        sock = _connected(self._address)
        self.sock = _tls_context().wrap_socket(sock, server_hostname=self._address.host)


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class _PacedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(_PacedSocket(sock), *args, **options)  # type: ignore[arg-type]


class _PacedSocket:
    """A socket as `HTTPResponse` uses it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """The socket's bytes."""
        return io.BufferedReader(_PacedReader(self._sock), _BUFFER_BYTES)


class _PacedReader(io.RawIOBase):
    """Reads from a socket. Only time spent waiting for the server counts."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._num_bytes, self._waited = 0, 0.0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: Any) -> int | None:
        """Bytes as they arrive. Raises `SlowServerError`."""
        began = time.monotonic()
        self._sock.settimeout(max(0.01, SLOW_WINDOW_SECONDS - self._waited))
        try:
            count: int | None = self._raw.readinto(target)
        except TimeoutError:
            count = None
        self._num_bytes += count or 0
        self._waited += time.monotonic() - began
        if count is None or self._waited >= SLOW_WINDOW_SECONDS:
            if self._num_bytes < MIN_BYTES_PER_SECOND * SLOW_WINDOW_SECONDS:
                raise SlowServerError(
                    f"the server sent only {self._num_bytes} bytes in {self._waited:.0f} s"
                )
            self._num_bytes, self._waited = 0, 0.0
        return count

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


def _connected(address: WebAddress) -> socket.socket:
    """A socket that is connected to a host whose addresses were checked."""
    addresses = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    for *_, location in addresses:
        _check_ip(address, str(location[0]))
    problem: OSError | None = None
    for *_, location in addresses:
        try:
            sock = socket.create_connection(
                (str(location[0]), address.port), timeout=_CONNECT_SECONDS
            )
        except OSError as error:
            problem = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    raise ConnectionError(f"{address.host}:{address.port}: {problem}") from problem


def _check_ip(address: WebAddress, number: str) -> None:
    """Raise `RedirectRefusedError` if `number`, an IP of the host, may not be connected to."""
    try:
        parsed = ipaddress.ip_address(number.partition("%")[0])
    except ValueError:
        return
    ip = getattr(parsed, "ipv4_mapped", None) or parsed
    is_metadata = ip.is_link_local or ip in _METADATA
    is_named = not address.must_be_public and number == address.host
    if (is_metadata and not is_named) or (address.must_be_public and not ip.is_global):
        raise RedirectRefusedError(
            f"{address.host} leads to {number}, which is not a public address; if that is "
            "intended, name it in the corpus or in REELSHARDS_REDIRECT_HOSTS"
        )


def _proxy_of(address: WebAddress) -> WebAddress | None:
    proxies = urllib.request.getproxies()
    url = proxies.get(address.scheme) or proxies.get("all", "")
    if not url or urllib.request.proxy_bypass(address.host):
        return None
    return WebAddress.of(url if "://" in url else f"http://{url}")


def _through_proxy(address: WebAddress, proxy: WebAddress) -> http.client.HTTPConnection:
    headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    if address.scheme == "https":
        secure = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=_CONNECT_SECONDS)
        secure.response_class = _PacedResponse
        secure.set_tunnel(address.host, address.port, headers)
        return secure
    return _ProxyConnection(address, proxy, headers)


class _ProxyConnection(_Connection):
    """Sends whole addresses, as proxies for http expect them."""

    def __init__(self, address: WebAddress, proxy: WebAddress, headers: dict[str, str]) -> None:
        super().__init__(proxy)
        self._prefix = address.url.removesuffix(address.target)
        self._headers = headers

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Send a request for `url`, a path and query."""
        options["headers"] = {**options.get("headers", {}), **self._headers}
        super().request(method, self._prefix + url, *args, **options)
