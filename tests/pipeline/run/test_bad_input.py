"""Unusable input: one message, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preprocess", "{tmp}/nowhere", "--out", "{tmp}/o"], "does not exist"),
        (["preprocess", "{tmp}", "--out", "{tmp}/o"], "no movies in"),
        (["preprocess", "ftp://x/y", "--out", "{tmp}/o"], "unknown scheme 'ftp'"),
        (["preprocess", "{film}", "--out", "gopher://x"], "unknown scheme 'gopher'"),
        (["preprocess", "{film}", "--out", "{film}"], "is a file, not a folder"),
        (["preprocess", "{film}", "--out", "{tmp}/o", "--short-side", "100"], "multiple of 16"),
        (["status", "{tmp}"], "no dataset and no run"),
        (["report", "{tmp}"], "is not a dataset"),
        (["retry", "{tmp}"], "/empty ä 5% is not a dataset"),
        (["prune", "{tmp}", "{film}"], "/empty ä 5% is not a dataset"),
        (["preprocess", "", "--out", "{tmp}/o"], "the corpus is empty"),
    ],
)
def test_bad_input_prints_one_message_and_exits_with_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty ä 5%").mkdir()
    film = tmp_path / "film" / "a.mp4"
    film.parent.mkdir()
    film.write_bytes(b"x")
    places = {"{tmp}": str(tmp_path / "empty ä 5%"), "{film}": str(film)}
    for mark, place in places.items():
        arguments = [word.replace(mark, place) for word in arguments]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "out",
    [
        *("{file}", "{file}/out", "/proc/out", "/sys/kernel", "/dev/null", "{file}-link/out"),
        *("", " ", "file://", "file://host/out", "s3://", "ftp://host/out", "x" * 300),
    ],
)
def test_an_impossible_output_prints_one_message_and_exits_with_2(
    out: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    Path(f"{file}-link").symlink_to(tmp_path / "nowhere")
    assert preprocess(corpus, out.replace("{file}", str(file))) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1


def test_a_missing_argument_exits_with_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["preprocess"])
    assert stop.value.code == 2


def test_wrong_credentials_exit_with_2(
    corpus: Path,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    assert preprocess(corpus, f"{s3_bucket}/out") == 2
    err = capsys.readouterr().err
    assert "credentials" in err
