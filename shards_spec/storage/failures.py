"""Translates obstore's exceptions into ours, those without a class of their own by message."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from obstore import exceptions as obstore_errors

from shards_spec.errors import (
    AccessDeniedError,
    NoCredentialsError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreUnavailableError,
)
from shards_spec.storage.odd_keys import OddKeyError
from shards_spec.storage.web.connection import RedirectRefusedError

DENIED = "access denied; check the credentials in the environment"
#: Without keys in the environment, obstore asks the cloud's metadata service for some.
_METADATA_SERVICES = ("169.254.169.254", "/latest/api/token", "metadata.goog")
#: ENOSPC and EDQUOT as Python and obstore write them; obstore has no error class for them.
_DISK_FULL = re.compile(r"\[Errno (28|122|69)\]|\(os error (28|122|69)\)")
#: The store cannot be reached or is overloaded: no connection, no answer in time, 5xx, 429, 408.
_UNAVAILABLE = re.compile(
    r"HTTP error:|status code: (5\d\d|429|408)\b|the server answered (5\d\d|429|408)\b"
    r"|^(ConnectionError|TimeoutError|RemoteDisconnected|gaierror): "
)


class CutShortError(StoreUnavailableError):
    """A response of the store ended early."""


class RangesNotSupportedError(StorageError):
    """A web server only sends whole objects."""


@contextlib.contextmanager
def translated(where: str, missing: str) -> Iterator[None]:
    """Raise our errors instead of obstore's, without their debug dumps.

    Args:
        where: what was attempted, for the messages.
        missing: what does not exist if something does not.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"{where}: {missing} does not exist") from error
    except (obstore_errors.AlreadyExistsError, FileExistsError) as error:
        raise ObjectExistsError(f"{where}: it already exists") from error
    except (
        obstore_errors.PermissionDeniedError,
        obstore_errors.UnauthenticatedError,
        PermissionError,
    ) as error:
        reason = str(error) if isinstance(error, RedirectRefusedError) else DENIED
        raise AccessDeniedError(f"{where}: {reason}") from error
    except (obstore_errors.BaseError, OSError, ValueError, NotImplementedError) as error:
        raise explained(where, str(error).partition("\n")[0]) from error


def explained(where: str, reason: str) -> StorageError:
    """The error for obstore's `reason`; `where` says what was attempted."""
    if "credential" in reason.lower() or any(name in reason for name in _METADATA_SERVICES):
        return NoCredentialsError(
            f"{where}: no credentials found; set the usual variables of the cloud, "
            "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if _DISK_FULL.search(reason):
        return NoSpaceError(f"{where}: {reason}")
    if "invalid path" in reason:
        return OddKeyError(f"{where}: {reason}; rename or delete that object")
    if "does not support ranges" in reason:
        return RangesNotSupportedError(f"{where}: {reason}")
    if "response body" in reason:
        return CutShortError(f"{where}: {reason}")
    if "416 Range Not Satisfiable" in reason or "range was invalid" in reason:
        return StorageError(
            f"{where}: the object is shorter; it is truncated, or the index is of another version"
        )
    if "403 Forbidden" in reason or "401 Unauthorized" in reason:
        return AccessDeniedError(f"{where}: {DENIED}")
    if "404 Not Found" in reason:
        return ObjectNotFoundError(f"{where}: the bucket does not exist")
    if _UNAVAILABLE.search(reason):
        return StoreUnavailableError(f"{where}: {reason}")
    return StorageError(f"{where}: {reason}")
