"""Lists S3 buckets that contain keys which obstore refuses.

obstore's listing fails as a whole if one key is odd, see `odd_keys`. Then the same request is sent
from here. Only access keys from the environment are supported, or none for a public bucket.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from shards_spec.storage.web.connection import WebAddress, open_connection

#: A page of 1,000 keys of 1,024 characters each, all of them escaped.
_MAX_PAGE_BYTES = 16 << 20
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def raw_listing(uri: str, prefix: str, endpoint: str) -> Iterator[Mapping[str, Any]]:
    """All objects below `uri`/`prefix`, described as obstore describes them, also odd ones.

    Paths are relative to `uri`. Raises `OSError` when the store refuses.
    """
    bucket, _, base = uri.partition("://")[2].partition("/")
    root = f"{base}/" if base else ""
    server = _Server.of(bucket, endpoint)
    token = ""
    while True:
        query = {"list-type": "2", "encoding-type": "url", "prefix": root + prefix}
        if root + prefix and not query["prefix"].endswith("/"):
            query["prefix"] += "/"
        if token:
            query["continuation-token"] = token
        page = server.page(query)
        for item in page.iter():
            if _name(item) == "Contents":
                yield _described(item, root)
        following = _text(page, "NextContinuationToken")
        if _text(page, "IsTruncated") != "true" or following in ("", token):
            return
        token = following


@dataclass(frozen=True)
class _Server:
    """Where a bucket is, and how requests to it are signed."""

    url: str
    region: str
    key_id: str
    secret: str
    session: str

    @staticmethod
    def of(bucket: str, endpoint: str) -> _Server:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return _Server(
            url=f"{endpoint.rstrip('/') or f'https://s3.{region}.amazonaws.com'}/{bucket}",
            region=region,
            key_id=os.environ.get("AWS_ACCESS_KEY_ID", ""),
            secret=os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
            session=os.environ.get("AWS_SESSION_TOKEN", ""),
        )

    def page(self, query: Mapping[str, str]) -> ElementTree.Element:
        """One page of a listing."""
        text = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted(query.items())
        )
        address = WebAddress.of(f"{self.url}?{text}")
        connection = open_connection(address)
        try:
            connection.request("GET", address.target, headers=self._headers(address, text))
            response = connection.getresponse()
            data = response.read(_MAX_PAGE_BYTES)
        finally:
            connection.close()
        if response.status in (401, 403) and not self.key_id:
            raise OSError(
                "it contains keys that cannot be read, such as `a//b`; rename or delete these "
                "objects, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to have them left out"
            )
        if response.status != 200:
            kind = PermissionError if response.status in (401, 403) else OSError
            raise kind(f"the store answered {response.status}")
        return _parsed(data)

    def _headers(self, address: WebAddress, query: str) -> dict[str, str]:
        """Signature version 4 of a GET request without a body."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        is_default_port = address.port == (443 if address.scheme == "https" else 80)
        signed = {
            "host": address.host if is_default_port else f"{address.host}:{address.port}",
            "x-amz-content-sha256": _EMPTY_SHA256,
            "x-amz-date": now,
        }
        if self.session:
            signed["x-amz-security-token"] = self.session
        if not self.key_id:
            return {"Host": signed["host"]}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        path = urlsplit(address.url).path
        request = f"GET\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY_SHA256}"
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return {
            **signed,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}",
        }


def _parsed(data: bytes) -> ElementTree.Element:
    # Entities could multiply a small document; no store uses any.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise OSError("the store's listing is not plain XML")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise OSError(f"the store's listing is not valid XML: {error}") from error


def _described(item: ElementTree.Element, root: str) -> Mapping[str, Any]:
    modified, size = _text(item, "LastModified"), _text(item, "Size")
    if not size.isdecimal():
        raise OSError("the store's listing has an object without a size")
    try:
        when = datetime.fromisoformat(modified.replace("Z", "+00:00")) if modified else None
    except ValueError:
        when = None
    return {
        "path": unquote(_text(item, "Key"), errors="surrogateescape").removeprefix(root),
        "size": int(size),
        "e_tag": _text(item, "ETag"),
        "last_modified": when,
    }


def _text(parent: ElementTree.Element, name: str) -> str:
    for item in parent:
        if _name(item) == name:
            return item.text or ""
    return ""


def _name(item: ElementTree.Element) -> str:
    """A tag without its namespace, which not all servers give."""
    return str(item.tag).rpartition("}")[2]
