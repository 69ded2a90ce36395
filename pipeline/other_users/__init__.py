"""Protection from other users of this machine: what they cannot read, replace or create first."""

from __future__ import annotations

from pipeline.other_users.peer import is_same_user, require_peers_known
from pipeline.other_users.private_folder import is_own_file, open_private, private_folder

__all__ = ["is_own_file", "is_same_user", "open_private", "private_folder", "require_peers_known"]
