"""Checks of settings; a message names the setting as its command-line flag is spelled."""

from __future__ import annotations

import math
from typing import Any

from shards_spec import errors


def require(condition: bool, message: str) -> None:
    """Raise `InputError` with the message unless the condition holds."""
    errors.require("config", condition, message)


def flag(section: str, name: str) -> str:
    """A setting as its command-line flag is spelled."""
    name = name.replace("_", "-")
    return f"{section}.{name}" if section else name


def at_least(flag: str, value: int, minimum: int) -> None:
    require(value >= minimum, f"{flag} = {value}: must be at least {minimum}")


def positive(flag: str, value: Any) -> None:
    require(0 < value < math.inf, f"{flag} = {value:g}: must be above 0 and finite")
