"""Reads fields that are not whole bytes."""

from __future__ import annotations


class UnexpectedDataError(Exception):
    """Data is shorter than it says, or otherwise not as it must be."""


class Bits:
    """Reads bytes bit by bit. Every method raises `UnexpectedDataError` at their end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        left = self._left = self._left - count
        if left < 0:
            raise UnexpectedDataError("the data ends in the middle of a field")
        return self._value >> left & (1 << count) - 1

    def flag(self) -> bool:
        """The next bit."""
        return self.take(1) == 1

    def number(self) -> int:
        """An unsigned number in Exp-Golomb code."""
        rest = self._value & (1 << self._left) - 1
        zeros = self._left - rest.bit_length()
        self.take(zeros)
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        """A signed number in Exp-Golomb code."""
        number = self.number()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def require(is_expected: bool) -> None:
    """Raise `UnexpectedDataError` unless data is as it must be."""
    if not is_expected:
        raise UnexpectedDataError
