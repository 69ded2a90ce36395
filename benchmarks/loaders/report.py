"""The page of `benchmarks.loader`, made of its figures."""

from __future__ import annotations

import statistics
from typing import Any

Rounds = dict[str, list[dict[str, float]]]

RATE, CPU, FIRST = "clips_per_second", "clips_per_cpu_second", "first_batch_seconds"
LIMIT_RATE, LIMIT_CPU = "limit_per_second", "limit_per_cpu_second"
SHARE, SHARE_CPU = "share_of_limit", "share_of_limit_cpu"
READS = "limit, with reads"


def report(found: dict[str, Any]) -> str:
    """The page."""
    versions = ", ".join(
        f"{name} {text or 'not installed'}" for name, text in found["versions"].items()
    )
    lines = [
        "# The stream compared with its peers and with the limit",
        "",
        f"`{found['command']}`, {found['date']}, {found['processor']} ({found['num_cores']} cores, "
        f"load {found['load_at_end']:.1f} at the end), Python {found['python']}; {versions}.",
        "",
        "Batches of 64 of the same clips (16 frames of 128 x 224, cropped to 112 x 112; "
        "JPEG quality 90; log-mel 80 x 320), decoded alike. Ours are batches of 4 movies x 16 "
        "clips, each checked by its crc32c; the peers' are shuffled samples. The limit only "
        "decodes and crops from memory; the limit with reads also reads the bytes, in ranges like "
        "the stream's, and does nothing else with them. Every way is measured in turn with the "
        "limit, a second or two each, and shares of the limit are taken between neighbors; then "
        "medians over all turns, and over rounds. S3 is a static server with ranges on loopback "
        f"that has a core of its own; the loader has {found['cores']['S3, cold']} there and "
        f"{found['cores']['local, cold']} with local files. webdataset reads S3 with curl. "
        "`first batch` counts from making the loader, imports excluded. Cold: page cache dropped, "
        "the library's cache empty; warm: all in the page cache (local) or in the library's own "
        "cache (S3).",
        "",
        _spread(found["places"]),
    ]  # fmt: skip
    for place, ways in found["places"].items():
        lines += ["", f"## {place}", "", *_table(ways, found["versions"], found["cores"][place])]
    return "\n".join([*lines, "", *_resume(found), "", *_goals(found), ""])


def _spread(places: dict[str, Rounds]) -> str:
    """How steady the machine was: shares of the limit are only as reliable as the limit."""
    values = [
        one[LIMIT_CPU]
        for ways in places.values()
        for results in ways.values()
        for one in results
        if LIMIT_CPU in one
    ]
    return (
        f"The limit, which no place changes, was between {min(values):.0f} and {max(values):.0f} "
        "clips/CPU s while the loaders of this run were measured; the spread shows how steady the "
        "machine was."
    )


def _table(ways: Rounds, versions: dict[str, str], cores: int) -> list[str]:
    lines = [
        "| way | clips/s per core | of the limit | clips/CPU s | of the limit | first batch, s |",
        "|---|---|---|---|---|---|",
    ]
    measured = [one for results in ways.values() for one in results if LIMIT_RATE in one]
    rate, cpu = (
        statistics.median(one[name] for one in measured) for name in (LIMIT_RATE, LIMIT_CPU)
    )
    lines.append(f"| limit | {rate / cores:.0f} | 1.00 | {cpu:.0f} | 1.00 |  |")
    for way, results in ways.items():
        if any(RATE not in one for one in results):
            lines.append(f"| {way} | failed | | | | |")
            continue
        rate, share, cpu, share_cpu, first = (
            statistics.median(one[name] for one in results)
            for name in (RATE, SHARE, CPU, SHARE_CPU, FIRST)
        )
        first_text = "" if way.startswith("limit") else f"{first:.2f}"
        lines.append(
            f"| {way} | {rate / cores:.0f} | {share:.2f} | {cpu:.0f} | {share_cpu:.2f} "
            f"| {first_text} |"
        )
    missing = [way for way, version in versions.items() if not version]
    return [*lines, *(f"| {way} | not installed | | | | |" for way in missing)]


def share(ways: Rounds, way: str, name: str) -> float:
    """The median over rounds of a way's share of the limit; 0 when it failed."""
    values = [one[name] for one in ways[way] if name in one]
    return statistics.median(values) if values else 0.0


def ratio(ways: Rounds, way: str, other: str, name: str) -> float:
    """The median over rounds of one way's share of the limit by another's; 0 if one failed."""
    pairs = zip(ways[way], ways[other], strict=True)
    values = [one.get(name, 0.0) / two[name] for one, two in pairs if name in two]
    return statistics.median(values) if values else 0.0


def _resume(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Resume at step 1,000,000",
        "",
        "Time from making the loader (index, plan, processes) to its first batch, local files.",
        "",
        "| way | first batch, s |",
        "|---|---|",
    ]
    for way, results in found["resume"].items():
        if any(FIRST not in one for one in results):
            has_none = any("no_state" in one for one in results)
            text = "no state to resume from" if has_none else "failed, or no batch within 30 s"
        else:
            text = f"{statistics.median(one[FIRST] for one in results):.2f}"
        lines.append(f"| {way} | {text} |")
    missing = [way for way, version in found["versions"].items() if not version]
    return [*lines, *(f"| {way} | not installed |" for way in missing)]


def _goals(found: dict[str, Any]) -> list[str]:
    """What was aimed at and what was reached, by CPU seconds and by wall time."""
    lines = ["## Goals", "", "| goal | by wall time | by CPU seconds |", "|---|---|---|"]
    for place, ways in found["places"].items():
        mine = [way for way in ways if way.startswith("stream")]
        shares = [max(share(ways, way, name) for way in mine) for name in (SHARE, SHARE_CPU)]
        lines.append(f"| {place}: at least 0.9 of the limit | {shares[0]:.2f} | {shares[1]:.2f} |")
        shares = [max(ratio(ways, way, READS, name) for way in mine) for name in (SHARE, SHARE_CPU)]
        lines.append(f"| {place}: share of the {READS} | {shares[0]:.2f} | {shares[1]:.2f} |")
        others = [way for way, version in found["versions"].items() if version]
        if place.startswith("S3") and others:
            best = [
                max(min(ratio(ways, way, other, name) for other in others) for way in mine)
                for name in (SHARE, SHARE_CPU)
            ]
            lines.append(
                f"| {place}: at least 1.5 of the best peer | {best[0]:.2f} | {best[1]:.2f} |"
            )
    mine = [way for way in found["resume"] if way.startswith("stream")]
    best_resume = min(statistics.median(one[FIRST] for one in found["resume"][way]) for way in mine)
    return [*lines, f"| resume at step 1,000,000 in under 1 s | {best_resume:.2f} s | |"]
