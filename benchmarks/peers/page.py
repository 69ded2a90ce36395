"""The page of `benchmarks.peers`, made of its record."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.peers.contenders import ALL_LACK, PEERS, REELSHARDS

#: The goal: core time of the fastest peer by that of reelshards.
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


def wall_ratios(kind: dict[str, Any], name: str) -> list[float]:
    """A contender's wall time on all cores by that of reelshards in each round that has both."""
    pairs = []
    for measured in kind.get("machine", []):
        theirs = measured["times"].get(name, {}).get("wall")
        if theirs:
            pairs.append(theirs / measured["times"][REELSHARDS.name]["wall"])
    return pairs


def cheapest_peer(kind: dict[str, Any], of: str) -> tuple[str, float]:
    """(name, ratio to reelshards) of the peer that costs least; ("", 0) if none was measured.

    `of`: CPU seconds of `one` movie or one `more`, or the wall time of the whole `machine`.
    """
    found = [
        (statistics.median(values), peer.name)
        for peer in PEERS
        if (values := _ratios(kind, peer.name, of))
    ]
    ratio, name = min(found, default=(0.0, ""))
    return name, ratio


def _ratios(kind: dict[str, Any], name: str, of: str) -> list[float]:
    return wall_ratios(kind, name) if of == "machine" else ratios(kind, name, of)


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
    if record.get("note"):
        lines += ["", record["note"]]
    for kind in record["kinds"].values():
        lines += ["", f"## {kind['about']}", "", *_table(kind), *_machine(kind)]
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
        f"{GOAL:.0f} times the speed of the fastest peer per core: at most 1/{GOAL:.0f} of its "
        "CPU seconds per movie, and of its wall time on the cores of a machine.",
        "",
        "| movie | measure | fastest peer | its cost, of reelshards | goal |",
        "|---|---|---|---|---|",
    ]
    measures = {
        "one": "CPU of one movie, cold",
        "more": "CPU of one more movie",
        "machine": "wall time of a machine",
    }
    for kind in kinds.values():
        for of, text in measures.items():
            name, ratio = cheapest_peer(kind, of)
            if name:
                verdict = _verdict(kind, of, ratio)
                lines.append(f"| {kind['about']} | {text} | {name} | {ratio:.2f} | {verdict} |")
    return [*lines, "", *_limit(kinds)]


def _limit(kinds: dict[str, Any]) -> list[str]:
    """Why the ratio is what it is, in figures: what the fastest peers cost of the floor."""
    shares = []
    for kind in kinds.values():
        name, _ = cheapest_peer(kind, "more")
        if name:
            measured = [m for m in kind["rounds"] if seconds(m, name, "more")]
            share = statistics.median(seconds(m, name, "more") / m["floor"] for m in measured)
            shares.append(f"{share:.2f} for {kind['about']} ({name})")
    if not shares:
        return []
    return [
        "The limit is decoding. The fastest peers decode each movie once, from start to end, so "
        f"one more movie costs them little more than the floor: {'; '.join(shares)} times. A "
        "quarter of that would be about a third of the floor for everything: decoding, "
        "scaling, audio and writing. Frames that other frames refer to have to be decoded for the "
        "same clips, and they are most of the floor (`preprocess.md`, `video: ffmpeg`). Only peers "
        "that encode every clip again cost several times more.",
    ]


def _verdict(kind: dict[str, Any], of: str, ratio: float) -> str:
    """One peer can show that the goal is not met; only all peers can show that it is met."""
    if ratio < GOAL:
        return "not met"
    missing = [peer.name for peer in PEERS if not _ratios(kind, peer.name, of)]
    return f"not decided: without {', '.join(missing)}" if missing else "met"


def _table(kind: dict[str, Any]) -> list[str]:
    rounds = kind["rounds"]
    if not rounds:
        return []
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


def _machine(kind: dict[str, Any]) -> list[str]:
    rounds = kind.get("machine", [])
    if not rounds:
        return []
    first = rounds[0]
    loads = ", ".join(f"{measured['load_average']:.1f}" for measured in rounds)
    lines = [
        "",
        f"{first['copies']} copies on {first['cpus']} cores, as many workers, threads or CPUs; "
        f"{first['date']}; rounds: {len(rounds)}, load average at their ends: {loads}.",
        "",
        "| way | rounds | wall time | of reelshards | CPU | cores kept busy |",
        "|---|---|---|---|---|---|",
    ]
    for peer in (REELSHARDS, *PEERS):
        times = [m["times"][peer.name] for m in rounds if peer.name in m["times"]]
        failures = [found["failed"] for found in times if "failed" in found]
        if failures:
            lines.append(f"| {peer.name} | failed: {failures[-1]} | | | | |")
        elif times:
            wall, cpu = (
                statistics.median(found[key] for found in times) for key in ("wall", "cpu")
            )
            ratio = statistics.median(wall_ratios(kind, peer.name))
            lines.append(
                f"| {peer.name} | {len(times)} | {wall:.1f} s | **{ratio:.2f}** | {cpu:.1f} s "
                f"| {cpu / wall:.1f} |"
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
