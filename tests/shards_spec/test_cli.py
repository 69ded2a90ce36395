"""Behavior common to all commands: exit codes, errors, version."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError, ReelshardsError


class StoppedError(ReelshardsError):
    exit_code: ClassVar[int] = ExitCode.DRAINED
    prefix: ClassVar[str] = ""


@dataclass(frozen=True)
class Answer:
    """Answer a question."""

    ending: str = ""
    volume: int = 1

    def __post_init__(self) -> None:
        if self.volume < 0:
            raise InputError(f"{self.volume = } must not be negative")

    def run(self) -> int:
        if self.ending == "input":
            raise InputError("cannot read https://me:secret@host/x?sig=1")
        if self.ending == "stopped":
            raise StoppedError("stopped on request")
        if self.ending == "interrupt":
            raise KeyboardInterrupt
        cli.print_json({"ending": self.ending})
        return ExitCode.SOME_FAILED


@dataclass(frozen=True)
class Ask:
    """Ask a question."""

    def run(self) -> int:
        return ExitCode.DONE


def run(*arguments: str) -> int:
    return cli.main(
        {"answer": Answer, "ask": Ask}, prog="talk", description="Talks.", arguments=arguments
    )


def test_the_named_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask") == 0
    assert run("answer", "--ending", "other") == 1
    assert json.loads(capsys.readouterr().out) == {"ending": "other"}


@pytest.mark.parametrize(
    ("ending", "code", "text"),
    [
        ("input", 2, "error: cannot read https://***@host/x?***\n"),
        ("stopped", 143, "stopped on request\n"),
        ("interrupt", 130, "interrupted; run the same command again to resume\n"),
    ],
)
def test_errors_print_one_line_and_set_the_exit_code(
    ending: str, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("answer", "--ending", ending) == code
    assert capsys.readouterr().err == text


def test_settings_that_fail_their_own_checks_are_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("answer", "--volume", "-1") == 2
    assert capsys.readouterr().err == "error: self.volume = -1 must not be negative\n"


@pytest.mark.parametrize("words", [["unknown"], ["ask", "--flag"], []])
def test_arguments_that_do_not_parse_exit_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"reelshards {cli.version()}\n"


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    code = "import sys, shards_spec.cli; print(*[m for m in sys.modules if '.' not in m])"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"torch", "ray", "librosa", "cv2", "pyarrow"} & set(modules)


ENDING = """
import atexit, ctypes, sys, threading
from shards_spec import cli

sys.modules["ray"] = sys  # as if Ray had been imported
atexit.register(print, "handled")
# Runs when the C++ libraries destroy their globals, as native threads of Ray may.
crash = ctypes.CDLL(None).abort
ctypes.CDLL(None).__cxa_atexit(crash, None, None)
sys.stdout.write("said ")
{end}(3)
"""


def test_a_process_that_used_ray_exits_before_native_globals_are_destroyed() -> None:
    """With `sys.exit` the same process is killed by a signal, so the test can fail."""
    endings = {}
    for end in ("cli.end_process", "sys.exit"):
        run = subprocess.run(
            [sys.executable, "-c", ENDING.format(end=end)], capture_output=True, text=True
        )
        endings[end] = (run.returncode, run.stdout)
    assert endings["cli.end_process"] == (3, "said handled\n")
    assert endings["sys.exit"][0] < 0
