"""Cuts decoded audio to the ranges that an edit list plays, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.audio.timeline import AudioFrame
from pipeline.probe.containers.edit_list import PlayedRange


@dataclass(frozen=True)
class _Range:
    """Media samples [first, end) are played `shift` samples later."""

    first: int
    end: int
    shift: int


class EditedAudio:
    """Applies the edits of a movie to frames in the order of its media."""

    def __init__(self, played: Sequence[PlayedRange], rate_hz: int) -> None:
        """Without ranges everything is played as it is."""

        def samples(seconds: Fraction) -> int:
            return round(seconds * rate_hz)

        self._ranges = [
            _Range(samples(r.media_start), samples(r.media_end), samples(r.start - r.media_start))
            for r in played
        ]
        self._next = 0
        """Ranges before this one are over."""

    def parts(self, frame: AudioFrame) -> Iterator[tuple[int, AudioFrame]]:
        """The parts of a frame that are played: the first of their samples, and when.

        Without edits, frames without a time are played too.
        """
        if not self._ranges:
            yield 0, frame
        if not self._ranges or frame.pts is None:
            return
        end = frame.pts + frame.count
        while self._next < len(self._ranges) and self._ranges[self._next].end <= frame.pts:
            self._next += 1
        for played in self._ranges[self._next :]:
            if played.first >= end:
                return
            first, last = max(frame.pts, played.first), min(end, played.end)
            if first < last:
                yield first - frame.pts, AudioFrame(first + played.shift, last - first)
