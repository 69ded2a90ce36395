"""Lines for the user."""

from __future__ import annotations

from rich.console import Console


def say(text: str) -> None:
    """Show the user a line."""
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
