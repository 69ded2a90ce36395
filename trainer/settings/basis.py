"""The flags of `train` and `plan` that determine the defaults of their other flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Where the defaults come from: a recipe, a file, another run, or the run to resume."""

    config: str = ""
    run: str = ""
    settings_file: Annotated[str, tyro.conf.arg(name="settings", aliases=["--config-file"])] = ""
    from_run: Annotated[str, tyro.conf.arg(name="from")] = ""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()

    @staticmethod
    def of(words: Sequence[str], prog: str) -> Basis:
        """These flags among the words of a command; all others are ignored."""
        basis, _ = tyro.cli(
            Basis, prog=prog, args=list(words), return_unknown_args=True, add_help=False
        )
        return basis
