"""Which k, mass and guard a corpus suggests: rules of thumb on what was measured.

They are meant as a first setting to compare others with, not as a finding. Their constants are from
our study on synthetic movies (benchmarks/results/study), where k = 16 did best, with movies of 13
effective clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.analyse.diversity import Diversity
from trainer.analyse.recurrence import GUARDS, Recurrence
from trainer.runs.scoring.probes import ProbeResult

#: Values of k that are suggested.
CLIPS = (2, 4, 8, 16, 32, 64)

#: Movies count as recognizable from this multiple of chance on, and from this accuracy on.
LEAST_LIFT, LEAST_ACCURACY = 3.0, 0.15

#: A guard is enough where the rate right after it is at most this multiple of the rate far away,
#: or at most this rate.
GUARD_FACTOR, GUARD_RATE = 2.0, 0.01

#: Expected false negatives of a clip that are tolerated.
MAX_FALSE = 1.0

#: Rates of false negatives up to which half, and a quarter, of the softmax goes to within-movie
#: negatives.
HALF_RATE, QUARTER_RATE = 0.1, 0.3


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A first setting, with reasons."""

    clips_per_movie: int
    within_mass: float
    """0: leave the weight constant."""
    guard_seconds: float
    false_negatives: float
    """Expected for each clip in a batch, in each direction, with this k and guard."""
    reasons: list[str]

    def flags(self) -> str:
        """As flags of `trainer train`."""
        flags = [f"--policy.clips-per-movie {self.clips_per_movie}"]
        if self.within_mass:
            flags.append(f"--loss.within-mass {self.within_mass:g}")
        if self.guard_seconds:
            flags.append(f"--loss.guard-seconds {self.guard_seconds:g}")
        return " ".join(flags)


def advise(
    consistency: dict[str, ProbeResult],
    diversity: Diversity | None,
    recurrence: Recurrence | None,
    clips_per_movie: float,
) -> Advice:
    """The setting that the three properties suggest.

    Args:
        clips_per_movie: median over the movies.
    """
    if recurrence is None:
        return _none(1, "no movie has two clips, so there are no within-movie negatives")
    recognized, why = _is_recognized(consistency)
    if not recognized:
        return _none(CLIPS[0], why)
    reasons = [why]
    guard = _guard(recurrence, reasons)
    limits = {"the clips of a median movie": clips_per_movie / 2}
    if diversity is not None:
        limits["the kinds of content of a movie"] = diversity.movie * math.sqrt(2)
    name, limit = min(limits.items(), key=lambda item: item[1])
    k = max([k for k in CLIPS if k <= limit], default=CLIPS[0])
    reasons.append(
        f"k = {k} is limited by {name}: more clips of a movie would mostly repeat what the batch "
        "has of it"
    )
    while k > CLIPS[0] and recurrence.false_negatives(k, guard) > MAX_FALSE:
        k //= 2
        reasons.append(f"k = {k}: with more, a clip would have over {MAX_FALSE:g} false negatives")
    kept = recurrence.beyond_guard[guard]
    rate = kept.rate if kept.num_pairs else 0.0
    mass = 0.5 if rate <= HALF_RATE else 0.25 if rate <= QUARTER_RATE else 0.0
    reasons.append(
        f"{rate:.1%} of the within-movie negatives that the guard leaves are near-duplicates: "
        + (f"a mass of {mass:g} can be afforded" if mass else "too many to emphasize them")
    )
    return Advice(
        clips_per_movie=k,
        within_mass=mass,
        guard_seconds=guard,
        false_negatives=recurrence.false_negatives(k, guard),
        reasons=reasons,
    )


def _is_recognized(consistency: dict[str, ProbeResult]) -> tuple[bool, str]:
    if not consistency:
        return False, "there are not two movies to compare, so nothing is known of their looks"
    texts = [
        f"{name} {probe.accuracy:.2f} (chance {probe.chance:.3f})"
        for name, probe in consistency.items()
    ]
    recognized = any(
        probe.accuracy >= max(LEAST_ACCURACY, LEAST_LIFT * probe.chance)
        for probe in consistency.values()
    )
    measured = f"movies are identified by statistics of look and score: {', '.join(texts)}"
    if recognized:
        return (
            True,
            f"{measured}; negatives from other movies are easy, so those from the same "
            "movie are worth having",
        )
    return False, f"{measured}; that is too rarely for within-movie negatives to change much"


def _guard(recurrence: Recurrence, reasons: list[str]) -> float:
    """The least guard after which neighbors are hardly more similar than clips far apart."""
    far = recurrence.far_rate
    limit = max(GUARD_FACTOR * far, GUARD_RATE)
    for guard in GUARDS:
        # Rates right after the guard: those of the range of gaps that begins with it.
        after = next((item for item in recurrence.by_gap if item.low_s >= guard), None)
        if after is None or after.rate <= limit:
            break
    if guard:
        reasons.append(
            f"a guard of {guard:g} s: clips closer together are near-duplicates more often than "
            f"those far apart ({far:.1%})"
        )
    else:
        reasons.append("no guard: neighbors in time are hardly more similar than other clips")
    return guard


def _none(k: int, reason: str) -> Advice:
    return Advice(
        clips_per_movie=k,
        within_mass=0.0,
        guard_seconds=0.0,
        false_negatives=math.nan,
        reasons=[reason, "choose batches by reading speed: `plan` shows the reads of each"],
    )
