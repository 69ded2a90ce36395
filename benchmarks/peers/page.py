"""The page of `benchmarks.peers`, made of its record."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.peers.contenders import ALL_LACK, PEERS, REELSHARDS

#: The goal: CPU seconds of the cheapest peer by those of reelshards.
GOAL = 4.0

Costs = dict[str, Any]


def ratios(kind: dict[str, Any], name: str, of: str) -> list[float]:
    """A contender's cost by that of reelshards in each round that has both; `of`: one or more."""
    pairs = []
    for measured in kind["rounds"]:
        theirs = seconds(measured, name, of)
        ours = seconds(measured, REELSHARDS.name, of)
        if theirs and ours:
            pairs.append(theirs / ours)
    return pairs


def seconds(measured: dict[str, Any], name: str, of: str) -> float:
    """CPU seconds of one movie from a cold start, or of one more; 0 if not measured."""
    costs: Costs = measured["costs"].get(name, {})
    if of == "one":
        return float(costs.get("one", 0.0))
    if "many" not in costs:
        return 0.0
    return (float(costs["many"]) - float(costs["one"])) / (int(measured["copies"]) - 1)


def cheapest_peer(kind: dict[str, Any], of: str) -> tuple[str, float]:
    """(name, ratio to reelshards) of the peer that costs least; ("", 0) if none was measured."""
    found = [
        (statistics.median(values), peer.name)
        for peer in PEERS
        if (values := ratios(kind, peer.name, of))
    ]
    ratio, name = min(found, default=(0.0, ""))
    return name, ratio


def page(record: dict[str, Any]) -> str:
    """The result as Markdown."""
    versions = ", ".join(f"{name} {text}" for name, text in record["versions"].items())
    lines = [
        "# Preprocessing compared with its peers",
        "",
        f"`{record['command']}`; {record['processor']}, {record['cpus']} CPUs, Python "
        f"{record['python']}, FFmpeg {record['ffmpeg']}; {versions}.",
        "",
        "Clips of 16 frames at 5 per second, 128 pixels high, with their audio, of the same movies "
        "on the same machine, by one worker, thread or CPU; the peers in the way that their "
        "documentation describes and with no more work than this needs. CPU seconds of all "
        "processes, by the kernel's control groups; contenders take turns, ratios are taken within "
        "a round, and medians over rounds. `of reelshards` is the peer's cost divided by "
        "ours: above 1, the peer costs more. The floor is `ffmpeg -threads 1 -i MOVIE -map 0:v -f "
        "null -`. `one movie, cold` includes the start of Python, Ray and imports; `one more "
        "movie` does not, but it is the difference of two runs, each of which varies by about a "
        "second: of a minute of 720p it says little. All movies are Big Buck Bunny (CC BY 3.0, "
        "(c) Blender Foundation), whole or a minute of it; 1080p is scaled up from 720p.",
        "",
        "## Goal",
        "",
        *_goal(record["kinds"]),
    ]
    for kind in record["kinds"].values():
        lines += ["", f"## {kind['about']}", "", *_table(kind)]
    lines += ["", "## What is compared", "", "| way | makes | also lacks |", "|---|---|---|"]
    for peer in (REELSHARDS, *PEERS):
        lines.append(f"| {peer.name} | {peer.makes} | {peer.lacks} |")
    lines += [
        "",
        "In the measured runs reelshards does the following, and the peers as they "
        "are used here do not:",
        "",
    ]
    lines += [f"- {text}" for text in ALL_LACK]
    for name, reason in record["missing"].items():
        lines += ["", f"{name} was not measured: {reason}"]
    return "\n".join([*lines, ""])


def _goal(kinds: dict[str, Any]) -> list[str]:
    lines = [
        f"At most 1/{GOAL:.0f} of the CPU seconds of the cheapest peer, per movie.",
        "",
        "| movie | measure | cheapest peer | its cost, of reelshards | goal |",
        "|---|---|---|---|---|",
    ]
    for kind in kinds.values():
        for of, text in (("one", "one movie, cold"), ("more", "one more movie")):
            name, ratio = cheapest_peer(kind, of)
            if name:
                verdict = _verdict(kind, of, ratio)
                lines.append(f"| {kind['about']} | {text} | {name} | {ratio:.2f} | {verdict} |")
    return lines


def _verdict(kind: dict[str, Any], of: str, ratio: float) -> str:
    """One peer can show that the goal is not met; only all peers can show that it is met."""
    if ratio < GOAL:
        return "not met"
    missing = [peer.name for peer in PEERS if not ratios(kind, peer.name, of)]
    return f"not decided: without {', '.join(missing)}" if missing else "met"


def _table(kind: dict[str, Any]) -> list[str]:
    rounds = kind["rounds"]
    dates = sorted({measured["date"] for measured in rounds})
    loads = ", ".join(f"{measured['load_average']:.1f}" for measured in rounds)
    floor = statistics.median(measured["floor"] for measured in rounds)
    lines = [
        f"{', '.join(dates)}; rounds: {len(rounds)}, load average at their ends: {loads}; floor "
        f"{floor:.1f} s.",
        "",
        "| way | rounds | clips | one movie, cold | of the floor | of reelshards | one more movie "
        "| of the floor | of reelshards |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for peer in (REELSHARDS, *PEERS):
        costs = [m["costs"][peer.name] for m in rounds if peer.name in m["costs"]]
        failures = [cost["failed"] for cost in costs if "failed" in cost]
        if failures:
            lines.append(f"| {peer.name} | failed: {failures[-1]} | | | | | | | |")
        elif costs:
            cells = [*_cells(kind, peer.name, "one"), *_cells(kind, peer.name, "more")]
            lines.append(
                f"| {peer.name} | {len(costs)} | {costs[0]['clips']} | " + " | ".join(cells) + " |"
            )
    return lines


def _cells(kind: dict[str, Any], name: str, of: str) -> list[str]:
    """Seconds, share of the floor and ratio to reelshards."""
    measured = [m for m in kind["rounds"] if seconds(m, name, of)]
    if not measured:
        return ["", "", ""]
    cost = statistics.median(seconds(m, name, of) for m in measured)
    floor = statistics.median(seconds(m, name, of) / m["floor"] for m in measured)
    ratio = statistics.median(ratios(kind, name, of))
    return [f"{cost:.1f} s", f"{floor:.2f}", f"**{ratio:.2f}**"]
