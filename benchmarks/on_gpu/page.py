"""The page of `benchmarks.gpu`."""

from __future__ import annotations

from typing import Any

#: Training steps that the issue of this benchmark asks for, clips/s on an H100.
GOALS = (
    ("as it runs, widths x16", 1000.0),
    ("as it runs, torchvision's widths", 750.0),
)
MAX_WAIT = 0.01
MEMORY_GOAL = (22.0, 600.0)

#: GFLOP of a clip, forward and backward; and gigabytes that its activations are at least moved:
#: each of 67 million numbers of a clip in bfloat16, written and read 14 times in a step.
GFLOP_PER_CLIP = 248.0
GB_PER_CLIP = 67e6 * 2 * 14 / 1e9


def page(figures: dict[str, Any]) -> str:
    """All that was measured, as Markdown."""
    lines = ["# Training on one GPU", "", *_head(figures), ""]
    lines += _steps(figures) + _memory(figures) + _training(figures) + _loader(figures)
    lines += _tests(figures)
    if figures["left_out"]:
        lines += ["Left out for lack of time: " + "; ".join(figures["left_out"]) + ".", ""]
    for name, reason in figures["failed"].items():
        lines += [f"Failed: {name}: `{' '.join(reason.split())[:300]}`", ""]
    return "\n".join(lines)


def _head(figures: dict[str, Any]) -> list[str]:
    machine = figures.get("machine", {})
    about = ""
    if machine:
        about = (
            f", {machine['device']}, {machine['cores']} cores, torch {machine['torch']}, "
            f"cuDNN {machine['cudnn']}; a copy moves {machine['copy_tb_per_s']:.2f} TB/s, a large "
            f"bfloat16 product runs at {machine['matrix_tflops']:.0f} TFLOP/s"
        )
    return [
        f"`{figures['command']}`, {figures['date']}{about}. R(2+1)D-18 on 16 frames of 112 x 112 "
        "pixels and ResNet-18 on log-mels, batches of 256 clips with augmentation, bfloat16 unless "
        "said otherwise."
    ]


def _steps(figures: dict[str, Any]) -> list[str]:
    rows = figures.get("steps", [])
    lines = [
        "## Steps",
        "",
        "Synthetic clips that are copied to the device for each step; mean of 8 steps after 4, "
        "without waiting in between. TFLOP/s count the network's own arithmetic.",
        "",
        "| step | clips/s | ms | TFLOP/s | peak GiB |",
        "|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['clips_per_s']:.0f} | {row['ms']:.1f} | {row['tflops']:.0f} | "
            f"{_number(row['peak_gib'])} |"
            for row in rows
        ),
        "",
    ]
    return lines + _shares(rows, figures.get("machine"))


def _shares(rows: list[dict[str, Any]], machine: dict[str, Any] | None) -> list[str]:
    found = {row["name"]: row["clips_per_s"] for row in rows}
    lines = [
        f"- {name}: {found[name]:.0f} clips/s; the goal of {goal:.0f} is "
        f"{'reached' if found[name] >= goal else 'missed'}."
        for name, goal in GOALS
        if name in found
    ]
    name = GOALS[0][0]
    if machine and name in found:
        by_memory = machine["copy_tb_per_s"] * 1e3 / GB_PER_CLIP
        by_arithmetic = machine["matrix_tflops"] * 1e3 / GFLOP_PER_CLIP
        lines.append(
            f"- Limits of this device: {by_arithmetic:.0f} clips/s by arithmetic "
            f"({GFLOP_PER_CLIP:.0f} GFLOP per clip), about {by_memory:.0f} by memory traffic "
            f"({GB_PER_CLIP:.1f} GB per clip when every activation is written once and read where "
            "statistics, normalization, convolutions and their gradients need it). Reached: "
            f"{found[name] / by_arithmetic:.0%} and {found[name] / by_memory:.0%}."
        )
    return [*lines, ""] if lines else []


def _memory(figures: dict[str, Any]) -> list[str]:
    expected = figures.get("expected_gib", {})
    rows = figures.get("memory", [])
    most, rate = MEMORY_GOAL
    fits = [row for row in rows if row["peak_gib"] <= most and row["clips_per_s"] >= rate]
    names = ", ".join(row["name"] for row in fits)
    verdict = f"reached by: {names}" if fits else "missed"
    return [
        "## Memory",
        "",
        "What the backward pass recomputes (widths x16), and in how many parts the batch is "
        "computed. Expected is what the trainer prints before it starts; reserved includes what "
        "the allocator holds back.",
        "",
        "| recomputed | clips/s | expected GiB | peak GiB | reserved GiB |",
        "|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['clips_per_s']:.0f} | "
            f"{_number(expected.get(row['name'], float('nan')))} | {_number(row['peak_gib'])} | "
            f"{_number(row['reserved_gib'])} |"
            for row in rows
        ),
        "",
        f"A batch of 256 within {most:.0f} GiB at {rate:.0f} clips/s or more: {verdict}.",
        "",
    ]


def _training(figures: dict[str, Any]) -> list[str]:
    found = figures.get("training")
    if not found:
        return []
    wait = found.get("data/wait_fraction", float("nan"))
    return [
        "## A real training",
        "",
        "`r2plus1d18` from shards on local disk, medians over log lines after the first third.",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in found.items()),
        "",
        f"Waiting for data: {wait:.2%} of step time; the goal of below {MAX_WAIT:.0%} is "
        f"{'reached' if wait < MAX_WAIT else 'missed'}.",
        "",
    ]


def _loader(figures: dict[str, Any]) -> list[str]:
    rows = figures.get("loader", [])
    return [
        "## Loading alone",
        "",
        "| processes | threads in each | clips/s |",
        "|---|---|---|",
        *(
            f"| {row['processes']} | {row['threads']}{' (chosen)' if row['chosen'] else ''} | "
            f"{row['clips_per_s']:.0f} |"
            for row in rows
        ),
        "",
    ]


def _tests(figures: dict[str, Any]) -> list[str]:
    tests = figures.get("tests")
    if not tests:
        return []
    return [
        "## Tests that need a GPU",
        "",
        f"`pytest -m gpu tests/trainer`: {tests['summary'].strip('= ')}.",
        "",
        *(f"- {line[:200]}" for line in tests["failed"]),
        "",
    ]


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.1f}"
