"""What was wrong with labels or subtitles: counted by reason, with the first places of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from shards_spec.redaction import plain

#: Places that are kept for each reason.
MAX_EXAMPLES = 3

#: Characters of a place.
_MAX_TEXT = 120

#: What each reason means, for ranges that are left out.
LEFT_OUT = {
    "unknown_movie": "name no movie of the dataset",
    "ambiguous_movie": "name several movies of the dataset",
    "no_clips": "are of movies without clips",
    "bad_time": "have times that are missing, not numbers, or end before they start",
    "outside": "are outside of the movie",
    "nothing": "have neither a label nor text",
    "unreadable": "could not be read",
}

#: And for those that are used, but not exactly as they are.
CHANGED = {
    "cut": "reach beyond the movie and were cut off at its ends",
    "merged": "repeat or touch an equal one and were merged with it",
    "overlapping": "overlap others with another label",
    "guessed_encoding": "are not UTF-8 and were read as Windows-1252 (see --encoding)",
}

#: Reasons that are usual: a table may be about more movies than a dataset has.
_USUAL = {"unknown_movie", "no_clips"}


@dataclass(frozen=True)
class Finding:
    """How often something was found, and where at first."""

    reason: str
    """A key of `LEFT_OUT` or `CHANGED`."""
    number: int
    examples: tuple[str, ...]

    @property
    def is_problem(self) -> bool:
        """Whether something in the input should be corrected."""
        return self.reason in LEFT_OUT and self.reason not in _USUAL

    def __str__(self) -> str:
        meaning = LEFT_OUT.get(self.reason) or CHANGED[self.reason]
        verb = "left out" if self.reason in LEFT_OUT else "noted"
        more = ", ..." if self.number > len(self.examples) else ""
        where = f" ({'; '.join(self.examples)}{more})" if self.examples else ""
        return f"{verb}: {self.number:,} {meaning}{where}"


class Findings:
    """Collects findings."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, where: str = "", number: int = 1) -> None:
        """Count something, with its place: `labels.csv line 7: 'nan'`."""
        self._counts[reason] += number
        examples = self._examples[reason]
        if where and len(examples) < MAX_EXAMPLES:
            shown = plain(where)
            examples.append(shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}…")

    def extend(self, others: Findings) -> None:
        """Count what others have found."""
        for finding in others.all():
            for where in finding.examples:
                self.add(finding.reason, where)
            self.add(finding.reason, number=finding.number - len(finding.examples))

    def all(self) -> tuple[Finding, ...]:
        """Everything that was found, in the order of `LEFT_OUT` and `CHANGED`."""
        return tuple(
            Finding(reason, self._counts[reason], tuple(self._examples[reason]))
            for reason in (*LEFT_OUT, *CHANGED)
            if self._counts[reason]
        )
