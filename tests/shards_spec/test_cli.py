"""Behavior common to all commands: exit codes, errors, version."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field
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
        if self.ending == "missing":
            importlib.import_module("a_package_of_an_extra.part")
        cli.print_json({"ending": self.ending})
        return ExitCode.SOME_FAILED


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How it sounds."""

    pitch_hz: float = 220.0
    """Pitch, Hz: the tone of most words, not that of the last word of a question, which depends on
    `--is-loud`; and
    1 more thing.

    A second paragraph."""
    is_loud: bool = True
    """Speak up."""


@dataclass(frozen=True)
class Ask:
    """Ask a question."""

    voice: Voice = field(default_factory=Voice)
    size: int = 0

    def run(self) -> int:
        return ExitCode.DONE


COMMANDS: dict[str, type[cli.Command]] = {"answer": Answer, "ask": Ask}
FORMER_FLAGS = {
    "--tone.": "--voice.",
    "--how-large": "--size",
    "--voice.loud": "--voice.is-loud",
    "--voice.no-loud": "--voice.no-is-loud",
}


def run(*arguments: str) -> int:
    return cli.main(COMMANDS, prog="talk", description="Talks.", arguments=arguments)


def parse(*arguments: str) -> cli.Command:
    return cli.parse(
        COMMANDS, arguments, prog="talk", description="Talks.", former_flags=FORMER_FLAGS
    )


def help_text(
    *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as caught:
        parse(*arguments, "--help")
    assert caught.value.code == 0
    return capsys.readouterr().out


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
        (
            "missing",
            2,
            "error: a_package_of_an_extra is not installed; pip install "
            "'reelshards[pipeline,trainer]' installs what all commands need\n",
        ),
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--how-large", "3"], Ask(size=3)),
        (["--how-large=3"], Ask(size=3)),
        (["--how_large=3"], Ask(size=3)),
        (["--tone.pitch-hz", "1.5"], Ask(Voice(pitch_hz=1.5))),
        (["--tone.pitch_hz=1.5"], Ask(Voice(pitch_hz=1.5))),
        (["--voice.no-loud", "--size", "2"], Ask(Voice(is_loud=False), size=2)),
    ],
)
def test_former_flags_are_read_as_the_current_ones(words: list[str], expected: Ask) -> None:
    assert parse("ask", *words) == expected


@pytest.mark.parametrize(
    "word",
    [
        "--how-larger=3",
        "--tone",
        "-how-large",
        "how-large",
        "tone.pitch-hz",
        "--x=--how-large",
        "--",
    ],
)
def test_other_words_stay(word: str) -> None:
    assert cli.current_flags([word], FORMER_FLAGS) == [word]


def test_the_help_lists_current_flags_and_both_of_a_pair(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_text("ask", capsys=capsys, monkeypatch=monkeypatch, width=100)
    assert "--voice.is-loud, --voice.no-is-loud" in text
    assert "--size" in text
    assert not [former for former in FORMER_FLAGS if former in text]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_docstrings_wrap_at_the_width_of_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is only broken where the next word does not fit, or where a paragraph ends."""
    text = help_text("ask", capsys=capsys, monkeypatch=monkeypatch, width=width)
    rows = [line.strip("│ ") for line in text.splitlines()]
    first = next(n for n, row in enumerate(rows) if "Pitch, Hz" in row)
    paragraph = list(itertools.takewhile(bool, rows[first:]))
    room = width - 4 - text.splitlines()[first].index("Pitch") + 2
    assert paragraph[-1].endswith("1 more thing.")
    for row, following in itertools.pairwise(paragraph):
        assert len(row) + 1 + len(following.split()[0]) > room, row


def test_the_help_mentions_the_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "talk --version" in help_text(capsys=capsys, monkeypatch=monkeypatch, width=100)


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
from shards_spec import process

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
    for end in ("process.end_process", "sys.exit"):
        run = subprocess.run(
            [sys.executable, "-c", ENDING.format(end=end)], capture_output=True, text=True
        )
        endings[end] = (run.returncode, run.stdout)
    assert endings["process.end_process"] == (3, "said handled\n")
    assert endings["sys.exit"][0] < 0


@pytest.mark.parametrize(
    "words",
    [
        ["reelshards", "--help"],
        ["shards_spec", "validate", "--help"],
        pytest.param(["trainer", "train", "--help"], marks=pytest.mark.slow),
        pytest.param(["pipeline", "--version"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_output_that_nobody_reads_ends_a_command_quietly(words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, "")


def test_a_broken_pipe_to_something_else_is_raised() -> None:
    code = (
        "from shards_spec.process import run_process\n"
        "def command(): raise BrokenPipeError('to a child')\n"
        "run_process(command)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert "BrokenPipeError: to a child" in run.stderr
