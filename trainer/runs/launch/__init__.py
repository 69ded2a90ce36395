"""How a launch begins: its settings, what it resumes, and what it prints first."""

from __future__ import annotations

from trainer.runs.launch.banner import banner
from trainer.runs.launch.chosen_settings import chosen_settings, data_of_settings
from trainer.runs.launch.first_settings import first_settings
from trainer.runs.launch.job import Job
from trainer.runs.launch.resume import restore

__all__ = [
    "Job",
    "banner",
    "chosen_settings",
    "data_of_settings",
    "first_settings",
    "restore",
]
