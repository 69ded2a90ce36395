"""Counts and logs unreadable clips, and stops the run when there are too many."""

from __future__ import annotations

import logging

from trainer.data.fetch.counters import Counters
from trainer.data.loader.jobs import Problem

_log = logging.getLogger(__name__)

#: The first bad clip is logged, and then one in this many.
LOG_EVERY = 1000


class BadClips:
    """The bad clips of one stream."""

    def __init__(self, uri: str, max_fraction: float, counters: Counters) -> None:
        self._uri, self._max_fraction, self._counters = uri, max_fraction, counters

    def count(self, problem: Problem) -> None:
        """Count a bad clip. Raises `FormatError` when more than the allowed share is bad."""
        number = self._counters.add_bad(problem.reason)
        if number % LOG_EVERY == 1:
            _log.warning("bad clip %d (%s): %s", number, problem.reason, problem.message)
        self._counters.check_bad(self._max_fraction, self._uri, problem.message)
