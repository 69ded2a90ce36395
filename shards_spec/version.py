"""The version of this package, without what a command line needs."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Version of the installed package; `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("reelshards")
    except metadata.PackageNotFoundError:
        return "unknown"
