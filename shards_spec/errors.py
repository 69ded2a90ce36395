"""Every error that a user can cause or meet, in one tree.

    ReelshardsError
    ├── InputError                         bad arguments or unusable input: exit code 2
    │   └── PolicyError                    a batch policy that this dataset cannot serve
    ├── StorageError                       the object store refused or failed
    │   ├── ObjectNotFoundError
    │   ├── ObjectExistsError
    │   ├── ObjectChangedError
    │   ├── NoSpaceError                   the local disk is full
    │   └── AccessDeniedError
    │       └── NoCredentialsError         there are none at all
    ├── FormatError                        bytes that break the shard format
    │   └── ChecksumError                  bytes that are not the ones that were written
    └── MovieError                         of the pipeline: a movie that cannot be turned into clips

Messages say what was found, where (movie, shard, clip) and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class ReelshardsError(Exception):
    """Base of all errors that are not our own bugs."""

    exit_code: ClassVar[int] = 2
    """What a command exits with that ends with this error; see `shards_spec.cli.ExitCode`."""
    prefix: ClassVar[str] = "error: "
    """What is printed in front of the message."""


class InputError(ReelshardsError):
    """Bad arguments or unusable input. The commands print the message and exit with 2.

    Not a `ValueError`: the command-line parser would catch that and print a page around it.
    """


class PolicyError(InputError):
    """A batch policy that the dataset at hand cannot serve, such as more movies than it has."""


class StorageError(ReelshardsError):
    """An object store failed; the message names the object."""


class ObjectNotFoundError(StorageError):
    """The object does not exist."""


class ObjectExistsError(StorageError):
    """The object exists, where only a new one may be written."""


class ObjectChangedError(StorageError):
    """The object is not the one that was looked up before."""


class AccessDeniedError(StorageError):
    """Credentials are missing, wrong, or do not allow the operation."""


class NoCredentialsError(AccessDeniedError):
    """No credentials were found, so that no object of this store can be reached."""


class NoSpaceError(StorageError):
    """There is no space left on the disk that is written to."""


class FormatError(ReelshardsError):
    """Bytes or tables that break the shard format; the message names shard and clip."""


class ChecksumError(FormatError):
    """A clip's bytes do not have the crc32c that the index records."""


def require(subject: str, condition: bool, message: str) -> None:
    """Raise `InputError("<subject>: <message>")` unless `condition` is true."""
    if not condition:
        raise InputError(f"{subject}: {message}")
