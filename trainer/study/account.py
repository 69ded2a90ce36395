"""What was run, where and for how long, and the findings as Markdown."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from shards_spec.version import version
from trainer.config import TrainConfig
from trainer.ranks.world import default_device
from trainer.runs.config_file import config_to_json
from trainer.study.cells import CellResult
from trainer.study.config import StudyConfig, StudyCorpus
from trainer.study.findings.summary import Summary
from trainer.study.findings.verdict import Verdict
from trainer.study.page import PAGE_HTML


def describe(
    corpora: list[StudyCorpus],
    recipe: TrainConfig,
    config: StudyConfig,
    results: list[CellResult],
    seconds: float,
) -> dict[str, Any]:
    """What was run, where, and for how long."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "hardware": f"{os.cpu_count()} CPU cores, {_processor()}, device {_device_name()}",
        "versions": {
            "reelshards": version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "study": dataclasses.asdict(config),
        "corpora": [{"name": corpus.name, "data": corpus.data} for corpus in corpora],
        "recipe": config_to_json(recipe),
        "num_runs": len(results),
        "launch_seconds": round(seconds, 1),
        "run_seconds": round(sum(result.seconds for result in results), 1),
        "cpu_seconds": round(sum(result.cpu_seconds for result in results), 1),
    }


def to_markdown(findings: Verdict, summary: Summary, about: dict[str, Any]) -> str:
    """The findings as text, with all numbers."""
    effects = [
        line
        for name, lines in findings.effects.items()
        for line in (
            f"{name.capitalize()}:",
            "",
            *(f"- {effect}" for effect in lines or ["none"]),
            "",
        )
    ]
    return "\n".join(
        [
            "# Within-movie negatives: what they change",
            "",
            f"{about['date']}, {about['hardware']}, torch {about['versions']['torch']}; "
            f"{about['num_runs']} runs of {about['study']['steps']} steps, "
            f"{about['cpu_seconds'] / 3600:.2f} CPU hours. Figures are in `{PAGE_HTML}`.",
            "",
            f"**{findings.headline}**",
            "",
            *(f"- {point}" for point in findings.points),
            "",
            *_claims(findings),
            *effects,
            "Limitations:",
            "",
            *(f"- {caveat}" for caveat in findings.caveats),
            "",
            summary.to_markdown(),
            "",
        ]
    )


def _claims(findings: Verdict) -> list[str]:
    if not findings.claims:
        return []
    return [
        "| claim | outcome | measured |",
        "|---|---|---|",
        *(f"| {item.text} | {item.outcome} | {item.evidence} |" for item in findings.claims),
        "",
    ]


def _device_name() -> str:
    device = default_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
