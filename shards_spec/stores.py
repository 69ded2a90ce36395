"""Which store a URI names, and opening it: schemes, endpoints, retries.

Everything that a store needs beside its URI (credentials, endpoint, region) comes from the
environment, in the variables of the cloud's own tools.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore import exceptions as obstore_errors
from obstore.store import LocalStore, from_url

from shards_spec.errors import InputError

LOCAL_SCHEMES = ("", "file")
REMOTE_SCHEMES = (
    *("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"),
    *("http", "https"),
)

#: Each request is tried again on connection errors and 5xx/429 answers, with back-off.
MAX_RETRIES, RETRY_SECONDS = 6, 60


def normalise_uri(uri: str) -> str:
    """`uri` with an explicit scheme and no trailing slash; local paths become `file:///...`.

    Raises `InputError` for a scheme that no store serves.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "":
        return Path(os.path.abspath(os.path.expanduser(uri))).as_uri()
    if scheme not in (*LOCAL_SCHEMES, *REMOTE_SCHEMES):
        raise InputError(
            f"unknown scheme {scheme!r} in {uri!r}; "
            f"use a local path or one of {', '.join(('file', *REMOTE_SCHEMES))}"
        )
    if scheme != "file" and not urlsplit(uri).netloc:
        raise InputError(f"{uri!r} names no bucket or host")
    return uri.rstrip("/")


def open_store(uri: str, create: bool, max_retries: int) -> Any:
    """obstore's store of a normalised URI; with `create`, a missing local folder is made.

    Raises `InputError` for a local folder that does not exist, and for settings that make no store.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, not a folder")
        if not path.exists() and not create:
            raise InputError(f"{path} does not exist")
        return LocalStore(path, mkdir=True)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "") or os.environ.get("AWS_ENDPOINT_URL", "")
    plain = parts.scheme == "http" or (
        parts.scheme in ("s3", "s3a") and endpoint.startswith("http://")
    )
    retries = {"max_retries": max_retries, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    options: dict[str, Any] = {"retry_config": retries}
    if plain:
        options["client_options"] = {"allow_http": True}
    try:
        return from_url(uri, **options)
    except (obstore_errors.BaseError, ValueError) as error:
        raise InputError(f"cannot open {uri}: {str(error).partition(chr(10))[0]}") from error
