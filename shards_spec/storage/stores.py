"""Opens the store that a URI names: schemes, endpoints, retries.

Everything that a store needs besides its URI comes from the environment:

    s3   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, ...   AWS_ENDPOINT_URL
    gs   GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_BEARER_TOKEN, ...    GOOGLE_BASE_URL
    az   AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, ...  AZURE_STORAGE_ENDPOINT

Web servers are read by `web`; a login may be part of the address.

On a cloud machine, the metadata service provides missing credentials.
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
from shards_spec.storage.web.client import WebStore

LOCAL_SCHEMES = ("", "file")
WEB_SCHEMES = ("http", "https")
REMOTE_SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", *WEB_SCHEMES)

#: Environment variables that replace the cloud's own endpoint.
_ENDPOINTS = {
    **dict.fromkeys(("s3", "s3a"), ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
    "gs": ("GOOGLE_BASE_URL",),
    **dict.fromkeys(
        ("az", "adl", "azure", "abfs", "abfss"), ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    ),
}

#: Requests are retried after connection errors and 5xx and 429 responses, with back-off.
MAX_RETRIES, RETRY_SECONDS = 6, 60


def normalize_uri(uri: str) -> str:
    """`uri` with an explicit scheme and no trailing slash; local paths become `file:///...`.

    Raises `InputError` for an unknown scheme, and for a URI that names nothing.
    """
    if not uri.strip():
        raise InputError("the address is empty; give a folder, or s3://, gs://, az://")
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "":
        return Path(os.path.abspath(os.path.expanduser(uri))).as_uri()
    if scheme not in (*LOCAL_SCHEMES, *REMOTE_SCHEMES):
        raise InputError(
            f"unknown scheme {scheme!r} in {uri!r}; "
            f"use a local path or one of {', '.join(('file', *REMOTE_SCHEMES))}"
        )
    parts = urlsplit(uri)
    if scheme != "file" and not parts.netloc:
        raise InputError(f"{uri!r} names no bucket or host")
    if scheme == "file" and (not parts.path or parts.netloc not in ("", "localhost")):
        raise InputError(f"{uri!r} names no folder of this machine; write file:///folder")
    if scheme == "file" and not parts.path.strip("/"):
        return "file:///"
    # The end of a query may be that of a signature.
    return uri if scheme in WEB_SCHEMES and "?" in uri else uri.rstrip("/")


def open_store(uri: str, create: bool, max_retries: int) -> Any:
    """The obstore store of a normalized URI; with `create`, a missing local folder is created.

    Raises `InputError` when a local folder does not exist or the settings are not usable.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return _open_folder(Path(unquote(parts.path)), create)
    if parts.scheme in WEB_SCHEMES:
        return WebStore(uri, max_retries, RETRY_SECONDS)
    endpoint = endpoint_of(parts.scheme)
    retries = {"max_retries": max_retries, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    options: dict[str, Any] = {"retry_config": retries}
    if endpoint.startswith("http://"):
        options["client_options"] = {"allow_http": True}
    try:
        return from_url(uri, **options)
    except (obstore_errors.BaseError, ValueError) as error:
        raise InputError(f"cannot open {uri}: {str(error).partition(chr(10))[0]}") from error


def endpoint_of(scheme: str) -> str:
    """The address that replaces the cloud's own endpoint; empty for none."""
    named = [os.environ.get(name, "") for name in _ENDPOINTS.get(scheme, ())]
    return next(filter(None, named), "")


def _open_folder(path: Path, create: bool) -> LocalStore:
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, not a folder")
        if not path.exists() and not create:
            raise InputError(f"{path} does not exist")
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist")
        return LocalStore(path, mkdir=True)
    except OSError as error:
        reason = error.strerror or str(error).partition(" (os error")[0]
        shown = str(path).replace("\0", "\\0")
        raise InputError(f"cannot create the folder {shown}: {reason}") from error
