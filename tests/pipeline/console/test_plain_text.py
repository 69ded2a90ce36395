"""Nothing from a movie, a name, a tag or a dataset is markup, a link, or control of a terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.__main__ as pipeline_cli
import shards_spec.__main__ as shards_cli
import trainer.__main__ as trainer_cli
from pipeline.console.display import Display, movies_table
from pipeline.console.notes import partial_movies_table
from pipeline.engine.events import AttemptFailed, MovieFinished
from pipeline.run.event_log import EventLog
from pipeline.run.progress import Progress
from shards_spec import layout
from shards_spec.cli import PlainConsole, run_reporting_errors
from shards_spec.errors import InputError
from shards_spec.redaction import plain, plain_json, plain_lines
from shards_spec.schema import MovieRow
from tests.support.datasets.toy_dataset import write_toy_dataset
from tests.support.films.media import Film, ffmpeg, make_film

#: Samples of each kind: markup, links, emoji codes, HTML; escapes of terminals (7 and 8 bit);
#: text that changes direction, hides, or begins a new line; half of a surrogate pair.
HOSTILE = [
    "[link=javascript:alert(1)]x[/link]",
    "[/x]",
    "[bold red]",
    "[[b]]\\[/b]",
    ":pile_of_poo:",
    "<script>alert(1)</script><a href='javascript:x'>&amp;",
    "\x1b]8;;https://evil.example\x07here\x1b]8;;\x07",
    "\x1b[2J\x1b[1;1H\x1b]0;title\x07",
    "\x9b31mred\x9d0;t\x9c",
    "safe\u202egnp.exe\u202c \u2066x\u2069 \u061c",
    "zero\u200bwidth\ufeff\U000e0041 \u2028line\u2029\x85end",
    "one\ndone     fake-movie  9 clips\r\x08\x0b\x0c\x00two\ttab",
]
#: What no output may contain, apart from ends of lines and rich's own colors on a terminal.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def require_plain(text: str) -> None:
    found = FORBIDDEN.search(text)
    assert found is None, (found, text[max(0, found.start() - 40) : found.end() + 40])
    assert "\ndone     fake-movie" not in text


@pytest.mark.parametrize("text", [*HOSTILE, "\ud800 half"])
def test_texts_become_plain_with_as_many_characters(text: str) -> None:
    shown = plain(text)
    require_plain(shown)
    assert len(shown) == len(text)
    assert "\n" not in shown
    require_plain(plain_lines(text).replace("\ndone", ""))
    if "\ud800" not in text:
        written = plain_json(json.dumps([text], ensure_ascii=False))
        require_plain(written)
        assert json.loads(written) == [text]


def test_other_scripts_and_symbols_stay() -> None:
    text = "Amélie 千と千尋 Война شاهنامه שלום 👩 é"
    assert plain(text) == text
    assert plain_lines("a\nb") == "a\nb"


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_and_lines_show_texts_as_they_are(text: str) -> None:
    row = MovieRow(**{**ROW, "error": text, "error_class": text, "movie_id": text})
    whole = replace(row, status="done", dropped_damaged=1)
    console = PlainConsole(file=io.StringIO(), width=200, force_terminal=True, record=True)
    console.print(movies_table("failed", [row]))
    table = partial_movies_table([whole])
    assert table is not None
    console.print(table)
    console.print(text)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    # Lines of `print` may be several; cells and colors are the console's own.
    require_plain(re.sub(r"\x1b\[[0-9;]*m", "", output).replace("\ndone", ""))
    assert plain(text).split("␊")[0][:20] in output
    page = console.export_html()
    assert "href" not in page.replace("&lt;a href", "")
    assert "<script" not in page


ROW = {field.name: "" for field in fields(MovieRow) if field.type == "str"} | {
    "movie_id": "heat",
    "group": "heat",
    "status": "failed",
    "attempts": 1,
    "source_bytes": 0,
}


@pytest.mark.parametrize("text", HOSTILE)
def test_events_are_one_line_each(text: str, tmp_path: Path) -> None:
    events = [
        AttemptFailed("heat", "prepare", 1, "media", text),
        MovieFinished(MovieRow(**{**ROW, "error": text, "error_class": "media"})),
    ]
    console = PlainConsole(file=io.StringIO(), width=80)
    with Display(console) as display, EventLog(str(tmp_path / "log")) as log:
        for event in events:
            display.show(PROGRESS, event)
            log.write(event)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    require_plain(shown)
    assert shown.count("\n") == 2
    written = (tmp_path / "log").read_text(encoding="utf-8")
    require_plain(written)
    assert [json.loads(line)["message"] for line in written.splitlines()] == [text, text]


PROGRESS = Progress(
    **{field.name: 0 for field in fields(Progress)}  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def hostile_dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset all of whose free texts are hostile, of movies with and without clips."""
    dataset = write_toy_dataset(
        str(tmp_path_factory.mktemp("toy")), num_movies=6, num_failed=6, clips_per_movie=4
    )
    keys = {"movie_id", "status", "recipe_fingerprint", "metadata"}
    table, texts = dataset.movies, len(HOSTILE)
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name not in keys:
            values = [
                old if field.name == "error_class" and not old else HOSTILE[place % texts]
                for place, old in enumerate(table[field.name].to_pylist())
            ]
            table = table.set_column(number, field, pa.array(values, field.type))
    pq.write_table(table, dataset.storage.local_path(layout.MOVIES_PARQUET))
    return dataset.storage.uri


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (pipeline_cli.main, ["report"]),
        (pipeline_cli.main, ["report", "--json"]),
        (pipeline_cli.main, ["status"]),
        (shards_cli.main, ["inspect"]),
        (shards_cli.main, ["inspect", "--json"]),
        (shards_cli.main, ["validate"]),
        (trainer_cli.main, ["plan", "--data"]),
    ],
)
def test_commands_show_a_hostile_dataset_as_plain_text(
    main: object, words: list[str], hostile_dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--policy.movies-per-batch", "2", "--policy.clips-per-movie", "2"]
    last = more if words[0] == "plan" else []
    main([*words, hostile_dataset, *last])  # type: ignore[operator]
    output = capsys.readouterr()
    assert output.out or output.err
    assert "Traceback" not in output.err
    require_plain(output.out + output.err)


def test_the_page_has_no_links_and_no_scripts(hostile_dataset: str, tmp_path: Path) -> None:
    pipeline_cli.main(["report", hostile_dataset, "--html", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    require_plain(page)
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z!]+)", page))
    assert tags <= {"!DOCTYPE", "html", "head", "meta", "title", "style", "body", "pre", "code",
                    "span"}  # fmt: skip
    assert "Content-Security-Policy" in page
    assert "[link=javascript:alert(1)]" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_errors_are_plain(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise InputError(plain(text))

    def fail_raw() -> int:
        raise InputError(text.replace("\n", ""))

    assert [run_reporting_errors(fail), run_reporting_errors(fail_raw)] == [2, 2]
    require_plain(capsys.readouterr().err)


def test_tags_and_names_of_a_movie_are_shown_as_plain_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mkv", Film(seconds=4, width=64, height=48))
    named = tmp_path / "a\x1b]0;x\x07\n[b]\u202e.mkv"
    tags = [("language", HOSTILE[0]), ("title", HOSTILE[6] + HOSTILE[9])]
    words = [word for name, text in tags for word in ("-metadata:s:a:0", f"{name}={text}")]
    ffmpeg("-i", film, "-c", "copy", *words, tmp_path / "tagged.mkv")
    (tmp_path / "tagged.mkv").rename(named)
    assert pipeline_cli.main(["check-sync", str(named)]) == 0
    output = capsys.readouterr().out
    require_plain(output)
    assert "[link=" in output
    named.write_bytes(b"not a movie")
    assert pipeline_cli.main(["check-sync", str(named)]) == 2
    require_plain(capsys.readouterr().err)
