"""The command `label`: labels, subtitles and chapters into a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError

if TYPE_CHECKING:
    from shards_spec.dataset.labels.findings import Findings
    from shards_spec.dataset.labels.schema import LabeledRange
    from shards_spec.dataset.reader import Dataset


@dataclass(frozen=True)
class Label:
    """Give the clips of a dataset labels or texts: from a table of movies and times, from the
    subtitles or chapters of the movies, or of what is heard in the clips. Without any of these,
    list what the dataset has.

    Filters can use them (`--policy.where "labels.mood == 'sad'"`), `evaluate --label-column` and
    `browse` as well.
    """

    uri: Annotated[str, Positional, arg(metavar="DATASET")]
    """The dataset."""
    from_file: Annotated[str, arg(name="from", metavar="FILE")] = ""
    """CSV, TSV or Parquet: movie, start and end in seconds (without them: the whole movie), and a
    label, a text or both."""
    subtitles: bool = False
    """Read the subtitles of each movie: .srt or .vtt next to it, else a text track inside."""
    chapters: bool = False
    """Read the chapters of each movie."""
    tags: bool = False
    """Listen to all clips: `speech`, `music`, `silence` or `other`. Needs the extra `tags`."""
    silence: bool = False
    """Look for silence only, by level."""
    silence_dbfs: float = -50.0
    """Half a second below this level is silent, dB of full scale."""
    name: str = ""
    """Name of the labels, which replaces earlier ones of that name; by default that of the file,
    `subtitles`, `chapters`, `tags` or `silence`."""
    remove: Annotated[str, arg(metavar="NAME")] = ""
    """Remove the labels of this name."""
    movie_column: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column of the file that names movies, by id or file name."""
    start_column: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column with the start, in seconds or as 1:02:03.4."""
    end_column: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column with the end."""
    label_column: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column with the label."""
    text_column: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column with the text."""
    match: Annotated[str, arg(metavar="COLUMN")] = ""
    """Column of the dataset's table of movies, such as one of the manifest, with the names that the
    file uses."""
    language: str = ""
    """Language of the subtitles (ISO 639); empty for any."""
    encoding: str = ""
    """Encoding of files that are not UTF-8, such as cp1252."""
    follow_links: bool = False
    """Let links inside a corpus folder lead out of it."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """Import, remove or list; 1 if something in the input was unusable."""
        chosen = [
            flag
            for flag, value in (
                ("--from", self.from_file),
                ("--subtitles", self.subtitles),
                ("--chapters", self.chapters),
                ("--tags", self.tags),
                ("--silence", self.silence),
                ("--remove", self.remove),
            )
            if value
        ]
        if len(chosen) > 1:
            raise InputError(f"{' and '.join(chosen)} cannot be combined; run one after the other")
        if not chosen:
            return self._list()
        cli.show_start("reading the dataset")
        if self.remove:
            from pipeline.labels.importing import remove_labels
            from shards_spec.storage import Storage

            remove_labels(Storage(self.uri), self.remove)
            cli.write_lines([f"removed the labels {self.remove}"])
            return ExitCode.DONE
        return self._import()

    def _import(self) -> int:
        from pipeline.labels.importing import import_ranges, name_of_file
        from shards_spec.dataset.labels.schema import check_name
        from shards_spec.dataset.reader import open_dataset

        default = name_of_file(self.from_file) if self.from_file else self._source
        name = check_name(self.name or default)
        dataset = open_dataset(self.uri)
        ranges, findings, num_without = self._read(dataset)
        # What is heard at a time is often several things.
        expected = {"overlapping", "merged"} if self.tags or self.silence else set()
        imported = import_ranges(dataset.storage, name, ranges, findings, expected)
        if self.json:
            found = {item.reason: asdict(item) for item in imported.findings}
            values = {"findings": found, "movies_without": num_without}
            cli.print_json({**asdict(imported.table), **values})
        else:
            lines = [_line(asdict(imported.table)), *map(str, imported.findings)]
            if num_without:
                lines.append(f"{num_without:,} movies have no {default}")
            cli.write_lines(lines)
        return ExitCode.SOME_FAILED if imported.has_problems else ExitCode.DONE

    @property
    def _source(self) -> str:
        """Which of the other sources than a file was chosen."""
        chosen = ("subtitles", "chapters", "tags", "silence")
        return next(name for name in chosen if getattr(self, name))

    def _read(self, dataset: Dataset) -> tuple[Iterable[LabeledRange], Findings, int]:
        """Ranges, what was wrong with the input, and how many movies have none."""
        from pipeline.labels.from_movies import read_chapters, read_subtitles
        from pipeline.labels.importing import read_file
        from shards_spec.dataset.labels.label_files import Columns
        from shards_spec.schema.tables import movie_rows

        if self.from_file:
            columns = Columns(
                self.movie_column,
                self.start_column,
                self.end_column,
                self.label_column,
                self.text_column,
            )
            return *read_file(dataset, self.from_file, columns, self.match, self.encoding), 0
        if self.tags or self.silence:
            from pipeline.tags import tag_clips
            from pipeline.tags.judge import load_judge

            heard = tag_clips(dataset, load_judge() if self.tags else None, self.silence_dbfs)
            return heard.ranges, heard.findings, 0
        rows, follow = movie_rows(dataset.movies), self.follow_links
        if self.subtitles:
            language, encoding = self.language, self.encoding
            read = read_subtitles(rows, language=language, encoding=encoding, follow_links=follow)
        else:
            read = read_chapters(rows, follow_links=follow)
        return read.ranges, read.findings, read.num_without

    def _list(self) -> int:
        from shards_spec.dataset.labels.tables import list_tables
        from shards_spec.dataset.reader import read_info
        from shards_spec.storage import Storage

        storage = Storage(self.uri)
        read_info(storage)
        tables = [asdict(info) for info in list_tables(storage)]
        if self.json:
            cli.print_json(tables)
        else:
            cli.write_lines(map(_line, tables) if tables else [f"{self.uri} has no labels"])
        return ExitCode.DONE


def _line(table: dict[str, Any]) -> str:
    kinds = [word for word in ("labels", "text") if table[f"has_{word}"]]
    return (
        f"{table['name']} ({' and '.join(kinds)}): {table['num_ranges']:,} ranges of "
        f"{table['num_movies']:,} movies, on {table['num_clips']:,} clips"
    )
