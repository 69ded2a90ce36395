"""Every error that a user can cause or meet, in one tree.

    ReelshardsError
    ├── InputError                         bad arguments or unusable input: exit code 2
    │   └── PolicyError                    a batch policy that this dataset cannot satisfy
    ├── StorageError                       the object store refused a request or failed
    │   ├── ObjectNotFoundError
    │   ├── ObjectExistsError
    │   ├── ObjectChangedError
    │   ├── UnsafeFileError                a local key that is not a file, or leads elsewhere
    │   ├── StoreUnavailableError          no connection, no answer, or the server failed
    │   │   └── OutageError                ... for longer than the run waits
    │   ├── NoSpaceError                   the local disk is full
    │   └── AccessDeniedError
    │       └── NoCredentialsError         no credentials were found
    ├── FormatError                        bytes or tables that violate the shard format
    │   └── ChecksumError                  bytes that differ from those that were written
    └── MovieError                         of the pipeline: a movie that cannot be turned into clips

Messages say what was found, where (movie, shard, clip) and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class ReelshardsError(Exception):
    """Base of all errors that are not bugs in this project."""

    exit_code: ClassVar[int] = 2
    """Exit code of a command that fails with this error; see `shards_spec.cli.ExitCode`."""
    prefix: ClassVar[str] = "error: "
    """Printed before the message."""


class InputError(ReelshardsError):
    """Bad arguments or unusable input. The commands print the message and exit with 2.

    Not a `ValueError`: the command-line parser would catch that and print its own usage page.
    """


class PolicyError(InputError):
    """A batch policy that the dataset cannot satisfy, such as more movies than it has."""


class StorageError(ReelshardsError):
    """An object store failed; the message names the object."""


class ObjectNotFoundError(StorageError):
    """The object does not exist."""


class ObjectExistsError(StorageError):
    """The object exists, but only a new one may be written."""


class ObjectChangedError(StorageError):
    """The object was replaced since it was looked up."""


class UnsafeFileError(StorageError):
    """A key of a local folder leads to a pipe, a device, a folder or out of it: no retries.

    A dataset that somebody handed over may contain anything.
    """


class StoreUnavailableError(StorageError):
    """The store could not be reached or failed; the same request may succeed later."""


class OutageError(StoreUnavailableError):
    """The store stayed unavailable for longer than the caller was willing to wait."""


class AccessDeniedError(StorageError):
    """Credentials are missing, wrong, or do not allow the operation."""


class NoCredentialsError(AccessDeniedError):
    """No credentials were found, so that no object of this store can be reached."""


class NoSpaceError(StorageError):
    """No space is left on the disk being written to."""


class FormatError(ReelshardsError):
    """Bytes or tables that violate the shard format; the message names shard and clip."""


class ChecksumError(FormatError):
    """A clip's bytes do not have the CRC-32C that the index records."""


def require(subject: str, condition: bool, message: str) -> None:
    """Raise `InputError("<subject>: <message>")` unless `condition` is true."""
    if not condition:
        raise InputError(f"{subject}: {message}")
