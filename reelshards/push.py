"""The command `push`: a dataset to the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

import tyro

from reelshards.hub import Inventory, take_inventory, upload
from shards_spec import cli, layout
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError
from shards_spec.redaction import plain

PROGRAM = "reelshards"


@dataclass(frozen=True)
class Push:
    """Upload a dataset to the Hugging Face hub; run again, it sends only what has changed.

    The token is read from HF_TOKEN, or from the login of the `hf` command. A repository that does
    not exist yet is created as a private one.
    """

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://... or az://..."""
    repo: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="REPO")]
    """Name of the dataset's repository: user/name."""
    public: bool = False
    """Let everybody see a repository that is created."""
    dry_run: bool = False
    """Only show what would be uploaded; needs no token."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """Show what is uploaded, and upload it; returns 0."""
        if not self.dry_run and find_spec("huggingface_hub") is None:
            raise InputError(
                "push needs huggingface_hub; install it with: pip install 'reelshards[hub]'"
            )
        inventory = take_inventory(self.uri)
        if not self.json:
            cli.write_lines(_description(inventory, self.repo))
        if self.dry_run:
            if self.json:
                cli.print_json({**_facts(inventory, self.repo), "uploaded": [], "deleted": []})
            return ExitCode.DONE
        outcome = upload(
            inventory,
            self.repo,
            _token(),
            is_public=self.public,
            report=_report,
        )
        if self.json:
            cli.print_json({**_facts(inventory, self.repo), **dataclasses.asdict(outcome)})
            return ExitCode.DONE
        unchanged = len(inventory.sizes) + len(inventory.last) - len(outcome.uploaded)
        lines = [
            f"uploaded {len(outcome.uploaded):,} files, {unchanged:,} were there already, "
            f"{len(outcome.deleted):,} deleted that the dataset no longer has"
        ]
        if outcome.kept_card:
            lines.append(
                f"the repository has a {layout.README} of its own, which was kept; for "
                "load_dataset, its front matter must name the shards as that of the dataset does"
            )
        cli.write_lines(lines)
        return ExitCode.DONE


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command; returns the exit code."""
    return cli.main(
        {"push": Push}, prog=prog, description="Upload a dataset to a hub.", arguments=arguments
    )


def _report(line: str) -> None:
    sys.stderr.write(f"{plain(line)}\n")


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise InputError(
            "no token: set HF_TOKEN to a token with write access, or log in with `hf auth login`"
        )
    return str(token)


def _facts(inventory: Inventory, repo: str) -> dict[str, object]:
    keys = [*inventory.sizes, *inventory.last]
    return {"repo": repo, "num_bytes": inventory.num_bytes, "files": keys}


def _description(inventory: Inventory, repo: str) -> list[str]:
    """What is uploaded, in words."""
    totals = inventory.dataset.info["totals"]
    shards = [size for key, size in inventory.sizes.items() if key.endswith(".tar")]
    lines = [
        f"{inventory.storage.uri} to the dataset repository {repo}:",
        f"  {totals['movies_done']:,} movies, {totals['clips']:,} clips",
        f"  {len(shards):,} shards with {sum(shards):,} bytes, "
        f"{len(inventory.sizes) - len(shards):,} commit records",
        f"  {', '.join(inventory.last)}",
    ]
    if sources := inventory.dataset.movies["source_uri"].to_pylist():
        lines.append(f"  also the addresses of the sources, such as {sources[0]}")
    return lines
