"""The command `label`: labels, subtitles and chapters into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError


@dataclass(frozen=True)
class Label:
    """Give the clips of a dataset labels or texts: from a table of movies and times, or from the
    subtitles or chapters of the movies. Without any of these, list what the dataset has.

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
    name: str = ""
    """Name of the labels, which replaces earlier ones of that name; by default that of the file,
    `subtitles` or `chapters`."""
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
            from pipeline.labels import remove_labels
            from shards_spec.storage import Storage

            remove_labels(Storage(self.uri), self.remove)
            cli.write_lines([f"removed the labels {self.remove}"])
            return ExitCode.DONE
        return self._import()

    def _import(self) -> int:
        from pipeline.labels import (
            import_ranges,
            name_of_file,
            read_chapters,
            read_file,
            read_subtitles,
        )
        from shards_spec.labels import Columns, check_name
        from shards_spec.reader import open_dataset
        from shards_spec.schema import movie_rows

        default = "subtitles" if self.subtitles else "chapters"
        if self.from_file:
            default = name_of_file(self.from_file)
        name = check_name(self.name or default)
        dataset = open_dataset(self.uri)
        num_without = 0
        if self.from_file:
            columns = Columns(
                self.movie_column,
                self.start_column,
                self.end_column,
                self.label_column,
                self.text_column,
            )
            ranges: Sequence[Any]
            ranges, findings = read_file(
                dataset, self.from_file, columns, self.match, self.encoding
            )
        else:
            rows = movie_rows(dataset.movies)
            follow = self.follow_links
            if self.subtitles:
                read = read_subtitles(
                    rows, language=self.language, encoding=self.encoding, follow_links=follow
                )
            else:
                read = read_chapters(rows, follow_links=follow)
            ranges, findings, num_without = read.ranges, read.findings, read.num_without
        imported = import_ranges(dataset.storage, name, ranges, findings)
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

    def _list(self) -> int:
        from shards_spec.labels import list_tables
        from shards_spec.reader import read_info
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
