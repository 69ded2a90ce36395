"""Sends what a repository lacks, in commits of bounded size."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelshards.hub.inventory import Inventory
from shards_spec import layout
from shards_spec.dataset.card import is_ours
from shards_spec.errors import InputError, StorageError
from shards_spec.storage import Storage, owned_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

#: Prefix of temporary folders, for objects of buckets.
_FOLDERS = "reelshards-push-"

#: Most files of a commit, and the bytes at which one is closed.
_BATCH_FILES, _BATCH_BYTES = 100, 1 << 30

#: Keys that an upload deletes if the dataset does not have them.
_OURS = re.compile(
    rf"{layout.SHARDS}/[^/]+/[^/]+\.tar|(?:{layout.COMMITS}|index)/.+\.parquet"
    r"|labels/[a-z][a-z0-9_]*\.parquet|index/labels\.json"
)

_REPO_TYPE = "dataset"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Upload:
    """What an upload has changed."""

    uploaded: tuple[str, ...]
    deleted: tuple[str, ...]
    kept_card: bool
    """Whether the repository has a README.md of its own, which was not replaced."""


@dataclass(frozen=True)
class _Remote:
    """A file of the repository."""

    num_bytes: int
    sha256: str
    """Of a large file; empty for one that is stored in git itself."""
    blob_id: str
    """Git's name for the content of any other file."""

    def is_same_as(self, path: Path) -> bool:
        """Whether it has the bytes of a local file."""
        if path.stat().st_size != self.num_bytes:
            return False
        if self.sha256:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        data = path.read_bytes()
        header = f"blob {len(data)}\0".encode()
        return hashlib.sha1(header + data, usedforsecurity=False).hexdigest() == self.blob_id


def upload(
    inventory: Inventory, repo: str, token: str, *, is_public: bool, report: Report
) -> Upload:
    """Bring a repository up to date with a dataset; what it has already is not sent again.

    Args:
        inventory: the dataset.
        repo: name of the repository, `user/name`; created if it is missing.
        token: of an account that may write to it.
        is_public: whether a repository that is created is public.
        report: called with a line after each commit.

    Raises:
        InputError: the hub refuses the name or the token.
        StorageError: the hub cannot be reached or fails; the same call resumes.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    api = HfApi(token=token)
    with _hub_errors(repo, token):
        api.create_repo(repo, repo_type=_REPO_TYPE, private=not is_public, exist_ok=True)
        remote = _remote_files(api, repo)
    uploaded: list[str] = []
    batches = list(_batches(inventory.sizes))
    for number, keys in enumerate(batches, 1):
        with owned_folder(_FOLDERS) as folder:
            paths = _differing(inventory.storage, keys, remote, Path(folder))
            if paths:
                message = f"Shards and commit records, {number} of {len(batches)}"
                with _hub_errors(repo, token):
                    _commit(api, repo, paths, message)
                uploaded += paths
        report(f"{number} of {len(batches)} commits: {len(uploaded):,} files sent")
    with owned_folder(_FOLDERS) as folder:
        last, kept_card = _last_files(api, inventory, remote, repo, Path(folder), token)
        wanted = {*inventory.sizes, *inventory.last}
        deleted = sorted(key for key in remote if _OURS.fullmatch(key) and key not in wanted)
        if last or deleted:
            with _hub_errors(repo, token):
                _commit(api, repo, last, "Index and card", deleted)
    return Upload((*uploaded, *last), tuple(deleted), kept_card)


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    keys: list[str] = []
    num_bytes = 0
    for key, size in sizes.items():
        if keys and (len(keys) == _BATCH_FILES or num_bytes + size > _BATCH_BYTES):
            yield keys
            keys, num_bytes = [], 0
        keys.append(key)
        num_bytes += size
    if keys:
        yield keys


def _differing(
    storage: Storage, keys: Sequence[str], remote: Mapping[str, _Remote], folder: Path
) -> dict[str, Path]:
    """Local files of the objects that the repository lacks, by key."""
    paths = {}
    for number, key in enumerate(keys):
        if storage.is_local:
            path = storage.local_path(key)
        else:
            path = folder / str(number)
            storage.download(key, path)
        if key not in remote or not remote[key].is_same_as(path):
            paths[key] = path
        elif not storage.is_local:
            path.unlink()
    return paths


def _last_files(
    api: HfApi,
    inventory: Inventory,
    remote: Mapping[str, _Remote],
    repo: str,
    folder: Path,
    token: str,
) -> tuple[dict[str, Path], bool]:
    """The same for what makes the others visible, and whether the repository keeps its card."""
    kept_card = False
    paths = {}
    for number, (key, data) in enumerate(inventory.last.items()):
        path = folder / str(number)
        path.write_bytes(data)
        if key in remote and remote[key].is_same_as(path):
            continue
        if key == layout.README and key in remote:
            with _hub_errors(repo, token):
                present = api.hf_hub_download(
                    repo, key, repo_type=_REPO_TYPE, local_dir=folder / "card"
                )
            if not is_ours(key, Path(present).read_bytes()):
                kept_card = True
                continue
        paths[key] = path
    return paths, kept_card


def _remote_files(api: HfApi, repo: str) -> dict[str, _Remote]:
    from huggingface_hub.hf_api import RepoFile

    return {
        item.path: _Remote(item.size, item.lfs.sha256 if item.lfs else "", item.blob_id)
        for item in api.list_repo_tree(repo, recursive=True, repo_type=_REPO_TYPE)
        if isinstance(item, RepoFile)
    }


def _commit(
    api: HfApi, repo: str, paths: Mapping[str, Path], message: str, deleted: Sequence[str] = ()
) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [CommitOperationAdd(key, str(path)) for key, path in paths.items()]
    operations += [CommitOperationDelete(key) for key in deleted]
    api.create_commit(repo, operations, commit_message=message, repo_type=_REPO_TYPE)


@contextlib.contextmanager
def _hub_errors(repo: str, token: str) -> Iterator[None]:
    """Raise our errors instead of the hub's; none of them contains the token."""
    import huggingface_hub.errors as hub_errors

    # The library's own errors derive from those of its HTTP client, whichever that is.
    http_error: type[Exception] = hub_errors.__dict__["HTTPError"]
    try:
        yield
    except hub_errors.HFValidationError as error:
        raise InputError(f"{repo!r} is not a name such as user/name: {error}") from error
    except (http_error, OSError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = str(error).replace(token, "***").strip().partition("\n")[0]
        if status in (401, 403):
            raise InputError(
                f"the hub refuses the token for {repo} ({status}); it needs write access to it: "
                f"{reason}"
            ) from None
        raise StorageError(
            f"{repo} was not updated: {reason or type(error).__name__}; run the same command "
            "again, what was sent is kept"
        ) from None
