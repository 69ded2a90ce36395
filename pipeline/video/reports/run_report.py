"""Everything that one run of ffmpeg reports: decoded frames, packets, and chosen frames.

`-debug_ts` reports the pts of every decoded frame and the grid step of every chosen one, so the
exact time of each chosen frame is known. (`showinfo` would write its lines in pieces, so that their
order relative to the decoder's messages would be lost.)
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from pipeline.probe import Probe
from pipeline.video.reports.decoder_log import DecoderLog
from pipeline.video.reports.entry_proof import EntryProof
from pipeline.video.selective import RunSelection
from shards_spec.recipe import NANOSECONDS

#: What `-debug_ts` reports about a chosen frame: its pts is the grid step.
_CHOSEN = re.compile(r"encoder <- .*?\b(?:frame_)?pts:(\d+) .*time_base:(\d+/\d+)")

#: A frame that stays on screen longer than this may do so because the next one's time is wrong.
STEADY_SECONDS = 1


class RunReport:
    """Collects the lines of one run; `note` is called by another thread."""

    def __init__(
        self,
        probe: Probe,
        rates: Collection[Fraction],
        seek_ns: int | None,
        selection: RunSelection | None = None,
    ) -> None:
        """For a run that enters at the keyframe at `seek_ns`.

        Args:
            probe: of the movie.
            rates: of the grids on which frames are chosen, per second.
            seek_ns: None for a run from the start of the movie.
            selection: what the decoder does not see.
        """
        self.seek_ns = seek_ns
        video = probe.video
        self.log = DecoderLog(
            video.codec,
            probe.start_pts,
            STEADY_SECONDS / video.time_base,
            is_vfr=probe.is_vfr,
            outliers=probe.outliers,
            entry_pts=int(Fraction(seek_ns or 0, NANOSECONDS) / video.time_base) - 1,
            selection=selection,
        )
        entry = round(Fraction(seek_ns or 0, NANOSECONDS) / video.time_base) + probe.start_pts
        self.proof = EntryProof(probe.packet_order, entry)
        self._steps: dict[Fraction, list[int]] = {rate: [] for rate in rates}
        self._by_time_base: dict[str, list[int]] = {}

    def steps(self, rate: Fraction) -> list[int]:
        """Grid steps for which a frame was chosen so far, in order."""
        return self._steps[rate]

    def note(self, line: str) -> None:
        """Process one line of ffmpeg's stderr."""
        self.log.note(line)
        self.proof.note(line)
        if "encoder <- " in line and (match := _CHOSEN.search(line)):
            steps, step = self._steps_of(match.group(2)), int(match.group(1))
            # Outputs of the same rate have the same frames, and each of them reports its own.
            if not steps or step > steps[-1]:
                steps.append(step)

    def _steps_of(self, time_base: str) -> list[int]:
        """The steps of the outputs with this time base, which is the distance of two steps."""
        steps = self._by_time_base.get(time_base)
        if steps is None:
            steps = self._by_time_base[time_base] = self._steps[1 / Fraction(time_base)]
        return steps
