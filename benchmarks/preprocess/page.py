"""The page of `benchmarks.preprocess`, made of its record."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.support import STAGES

_MIB = 1 << 20
#: Steps of ffmpeg's work, each with those before it, and the heads of their columns.
LIMITS = {
    "decode": "decoding what has to be decoded",
    "frames": "and choosing, scaling and writing frames",
    "reports": "and reporting times and damage",
}

Kind = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """The least share of the floor for a kind of movie."""

    kind: str
    share: float
    is_cold: bool = False
    """One movie from a cold start; otherwise one more movie."""


GOALS = (
    Goal("bbb-720p", 1.3),
    Goal("h264-1080p", 1.1),
    Goal("hevc-1080p10", 1.25),
    Goal("h264-1080p-fast", 1.6),
    Goal("bbb-720p", 0.7, is_cold=True),
    Goal("bbb-720p-60s", 0.7, is_cold=True),
    Goal("h264-1080p", 0.7, is_cold=True),
    Goal("hevc-1080p10", 0.7, is_cold=True),
)


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds: CPU seconds, and shares of the floor, taken within a round."""

    floor: float
    one: float
    """One movie from a cold start."""
    more: float
    """One more movie."""
    one_share: float
    more_share: float
    spread: float
    """Largest less smallest share of one more movie, divided by the median; 0 for one round."""


def figures(kind: Kind) -> Figures:
    """What the rounds of a kind say."""
    rounds = kind["rounds"]
    more = [(r["many"] - r["one"]) / (r["copies"] - 1) for r in rounds]
    shares = [r["floor"] / cost for r, cost in zip(rounds, more, strict=True)]
    share = statistics.median(shares)
    return Figures(
        floor=statistics.median(r["floor"] for r in rounds),
        one=statistics.median(r["one"] for r in rounds),
        more=statistics.median(more),
        one_share=statistics.median(r["floor"] / r["one"] for r in rounds),
        more_share=share,
        spread=(max(shares) - min(shares)) / share,
    )


def page(record: dict[str, Any]) -> str:
    """The result as Markdown."""
    kinds: dict[str, Kind] = record["kinds"]
    measured = {name: kind for name, kind in kinds.items() if kind.get("rounds")}
    lines = [
        "# A preprocessing run against decoding",
        "",
        f"`{record['command']}`; {record['processor']}, {record['cpus']} CPUs, Python "
        f"{record['python']}, Ray {record['ray']}, FFmpeg {record['ffmpeg']}. CPU seconds of all "
        "processes, one worker, the default recipe; medians, shares taken within a round. The "
        "floor is `ffmpeg -threads 1 -i MOVIE -map 0:v -f null -`. All movies are Big Buck Bunny "
        "(CC BY 3.0, (c) Blender Foundation), whole or a part of it, re-encoded if its format "
        "differs, 60 s where nothing else is said; 1080p and 2160p are scaled up from 720p. AV1 is "
        "not measured: the bundled FFmpeg has no software decoder for it.",
        "",
        *_goals(measured),
        "",
        "## All movies",
        "",
        *_table(measured),
        "",
        "Spread: largest less smallest share of one more movie, where there are several rounds. "
        "Peak memory is the largest sum of private memory of all processes at one time, Ray's "
        "included.",
        "",
        *_limits(measured),
        *_stage_table({name: kind for name, kind in measured.items() if kind.get("stages")}),
        *_workers(kinds),
    ]
    return "\n".join([*lines, ""])


def _goals(kinds: dict[str, Kind]) -> list[str]:
    lines = [
        "## Goals",
        "",
        "| movie | measure | share of floor | goal | |",
        "|---|---|---|---|---|",
    ]
    for goal in GOALS:
        if goal.kind in kinds:
            found = figures(kinds[goal.kind])
            share = found.one_share if goal.is_cold else found.more_share
            text = "one movie, cold" if goal.is_cold else "one more movie"
            verdict = "met" if share >= goal.share else "not met"
            lines.append(
                f"| {kinds[goal.kind]['about']} | {text} | **{share:.2f}** | {goal.share} "
                f"| {verdict} |"
            )
    return [
        *lines,
        "",
        "One more movie is the difference of two runs, which varies by a tenth to a quarter from "
        "round to round; the number of rounds is below.",
    ]


def _table(kinds: dict[str, Kind]) -> list[str]:
    lines = [
        "| movie | date, rounds, load | floor | one movie, cold | share of floor "
        "| one more movie | share of floor | spread | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in kinds.values():
        rounds, found = kind["rounds"], figures(kind)
        loads = ", ".join(f"{measured['load_average']}" for measured in rounds)
        spread = f"{100 * found.spread:.0f} %" if len(rounds) > 1 else ""
        peak = max(measured["peak_bytes"] for measured in rounds)
        lines.append(
            f"| {kind['about']} | {rounds[-1]['date']}, {len(rounds)}, {loads} "
            f"| {found.floor:.1f} s | {found.one:.1f} s | {found.one_share:.2f} "
            f"| {found.more:.1f} s | **{found.more_share:.2f}** | {spread} "
            f"| {peak / _MIB:.0f} MiB |"
        )
    return lines


def _limits(kinds: dict[str, Kind]) -> list[str]:
    """How much cheaper than the floor ffmpeg alone can be, and one more movie is."""
    measured = [kind for kind in kinds.values() if kind.get("limits")]
    if not measured:
        return []
    lines = [
        "## Limits",
        "",
        "Shares of the floor that ffmpeg alone reaches, in rounds of their own in which the "
        "commands take turns: no run can be cheaper than the first column, because its frames "
        "have to be decoded. `one more movie` also reads the audio and the file's structure, and "
        "measures, encodes and writes clips.",
        "",
        "| movie | " + " | ".join(LIMITS.values()) + " | one more movie |",
        "|---|" + "---|" * (len(LIMITS) + 1),
    ]
    for kind in measured:
        costs = kind["limits"]
        shares = " | ".join(f"{costs['floor'] / costs[name]:.2f}" for name in LIMITS)
        lines.append(f"| {kind['about']} | {shares} | {figures(kind).more_share:.2f} |")
    return [*lines, ""]


def _stage_table(kinds: dict[str, Kind]) -> list[str]:
    if not kinds:
        return []
    lines = [
        "## Where the CPU time goes",
        "",
        "Of one movie from a cold start, as shares of the floor. `start` is what the first movie "
        "costs more than another one: Python, imports, Ray and its worker. `rest` is what one more "
        "movie costs beyond its stages: Ray's processes, the driver, handing over results; the "
        "stages are from a run of their own, so it also has the difference of the two.",
        "",
        "| stage | " + " | ".join(kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    rows: dict[str, list[float]] = {name: [] for name in ("start", *STAGES, "rest")}
    for kind in kinds.values():
        found = figures(kind)
        stages = {name: kind["stages"].get(name, 0.0) for name in STAGES}
        rest = found.more - sum(stages.values())
        shares = {"start": found.one - found.more, **stages, "rest": rest}
        for name, seconds in shares.items():
            rows[name].append(seconds / found.floor)
    rows["whole"] = [sum(shares) for shares in zip(*rows.values(), strict=True)]
    for name, shares in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * s:.1f} %" for s in shares) + " |")
    return lines


def _workers(kinds: dict[str, Kind]) -> list[str]:
    runs = [(kind["about"], found) for kind in kinds.values() for found in kind.get("workers", [])]
    if not runs:
        return []
    lines = [
        "",
        "## One and two workers",
        "",
        "The same copies of a movie with `--workers 1` and `--workers 2`, in turns. Efficiency is "
        "the wall time of one worker divided by twice that of two. `without start`: of the "
        "difference of the two corpora. `two decoders`: the floor's command alone against two of "
        "them at the same time, which is what the cores lose when both are busy. The machine has "
        "two cores, so two workers share them with the driver and with Ray's processes, which one "
        "worker leaves a core to.",
        "",
        "| movie, copies | date, load | 1 worker | 2 workers | efficiency | without start "
        "| two decoders | CPU per movie, 1 and 2 workers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for about, found in runs:
        few, many = found["copies"]
        alone, both = found["1"], found["2"]
        more = [times[1]["wall"] - times[0]["wall"] for times in (alone, both)]
        decoders = found["decoders"]["1"]["wall"] / found["decoders"]["2"]["wall"]
        cpu = [(times[1]["cpu"] - times[0]["cpu"]) / (many - few) for times in (alone, both)]
        lines.append(
            f"| {about}, {many} | {found['date']}, {found['load_average']} "
            f"| {alone[1]['wall']:.1f} s | {both[1]['wall']:.1f} s "
            f"| **{alone[1]['wall'] / both[1]['wall'] / 2:.2f}** | {more[0] / more[1] / 2:.2f} "
            f"| {decoders:.2f} | {cpu[0]:.1f} s, {cpu[1]:.1f} s |"
        )
    return lines
