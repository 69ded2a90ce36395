"""The walls of the house: who may import whom, read from the source of every module.

A room is a folder inside of a package. Its door is its `__init__.py`: modules of other rooms import
from there and from nowhere else. `ORDER` lists each package's rooms from the bottom up; a room
imports only from rooms below it, so there can be no circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What each package may import, besides itself and other people's packages.
PACKAGES = {
    "shards_spec": {"shards_spec"},
    "pipeline": {"pipeline", "shards_spec"},
    "trainer": {"trainer", "shards_spec"},
    "reelshards": {"reelshards", "pipeline", "trainer", "shards_spec"},
}

#: Packages that must not appear anywhere in ours.
FORBIDDEN = {
    "shards_spec": {"torch", "ray", "librosa", "ffmpeg"},
    "pipeline": {"torch"},
    "trainer": {"ray", "ffmpeg", "librosa"},
    "reelshards": {"ray", "ffmpeg", "librosa"},
}

#: Rooms that must not import torch: loader workers import them.
WITHOUT_TORCH = {"trainer/plan", "trainer/fetch", "trainer/loader"}

#: The rooms of each package and the modules at its root, from the bottom up. Names in one line
#: stand on one level and do not import each other.
ORDER = {
    "shards_spec": """
        errors
        layout recipe redaction
        cli schema order
        sample storage
        bounds
        writer commits reader
        validation inspection
        __main__
    """,
    "pipeline": """
        errors redaction deploy
        limits
        config sources
        ffmpeg
        probe demo
        plan
        audio video
        movie
        engine
        run
        console
        __main__
        drain
    """,
    "trainer": """
        randomness fetch console
        plan loader ranks
        config stream
        recipes models plan_report
        learning
        run
        evaluate
        train
        study
        __main__
    """,
    "reelshards": """
        packages
        encoder
        api commands
        __main__
    """,
}

#: Folders of scripts and files that nothing imports.
NOT_ROOMS = {"pipeline/deploy"}

#: Imports past a door that are still to be removed; remove the line with the import.
PAST_THE_DOOR = """
    pipeline.__main__ pipeline.console.report
    pipeline.__main__ pipeline.console.status
    pipeline.__main__ pipeline.console.sync_chart
    pipeline.__main__ pipeline.console.sync_check
    pipeline.__main__ pipeline.console.sync_table
    pipeline.__main__ pipeline.run.lease
    pipeline.__main__ pipeline.run.preprocess
    pipeline.__main__ pipeline.run.prune
    pipeline.console.display pipeline.engine.events
    pipeline.console.status pipeline.run.lease
    pipeline.console.sync_check pipeline.probe.probe
    pipeline.engine.engine pipeline.movie.steps
    pipeline.engine.submission pipeline.movie.steps
    pipeline.engine.tasks pipeline.ffmpeg.reaper
    pipeline.engine.tasks pipeline.movie.steps
    pipeline.movie.steps pipeline.probe.probe
    pipeline.run.event_log pipeline.engine.events
    pipeline.run.metrics pipeline.engine.events
    pipeline.run.preprocess pipeline.engine.events
    pipeline.run.progress pipeline.engine.events
    trainer.evaluate.embeddings trainer.learning.device_inputs
"""

#: Most modules of a room; its `__init__.py` does not count.
MAX_MODULES = 12


@dataclass(frozen=True)
class Import:
    """One imported module, as the source names it."""

    path: Path
    line: int
    target: str
    """Dotted name of the module: `pipeline.probe`, `torch`."""
    is_lazy: bool
    """Inside of a function, or only for type checkers."""

    @property
    def source(self) -> str:
        """Dotted name of the importing module; that of a room for its door."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.target}"


@cache
def modules(package: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / package).rglob("*.py")))


@cache
def imports(package: str) -> tuple[Import, ...]:
    return tuple(found for path in modules(package) for found in imports_of(path))


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), str(path))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if is_module(name) else str(node.module) for name in names]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(path, node.lineno, target, id(node) not in top)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def room_of(module: str) -> str:
    """`pipeline.probe.packets` and `pipeline.probe` -> `pipeline/probe`; a module at the root of a
    package is a room by itself."""
    return "/".join(module.split(".")[:2])


def folders() -> list[Path]:
    return sorted({path.parent for package in PACKAGES for path in modules(package)})


def ours(package: str) -> Iterator[Import]:
    """Imports of our own packages, those of the package's own door (`import pipeline`) aside."""
    for found in imports(package):
        if found.target.split(".")[0] in PACKAGES:
            yield found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_packages_below(package: str) -> None:
    wrong = [
        str(found) for found in ours(package) if found.target.split(".")[0] not in PACKAGES[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_do_without_what_they_must_not_need(package: str) -> None:
    wrong = [
        str(found) for found in imports(package) if found.target.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_rooms_of_the_loader_do_without_torch() -> None:
    wrong = [
        str(found)
        for found in imports("trainer")
        if found.target.split(".")[0] == "torch" and room_of(found.source) in WITHOUT_TORCH
    ]
    assert wrong == []


def test_rooms_are_entered_through_their_door() -> None:
    past = {
        f"{found.source} {found.target}": str(found)
        for package in PACKAGES
        for found in ours(package)
        if found.target.count(".") >= 2 and room_of(found.target) != room_of(found.source)
    }
    allowed = {line.strip() for line in PAST_THE_DOOR.strip().splitlines()}
    assert [where for name, where in past.items() if name not in allowed] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_from_rooms_below(package: str) -> None:
    level = {
        f"{package}/{name}": number
        for number, line in enumerate(ORDER[package].strip().splitlines())
        for name in line.split()
    }
    paths = [path.relative_to(ROOT).with_suffix("") for path in modules(package)]
    rooms = {"/".join(path.parts[:2]) for path in paths}
    rooms.remove(f"{package}/__init__")
    assert rooms == set(level), "ORDER lists the rooms as they are"
    wrong = [
        str(found)
        for found in imports(package)
        if found.target.startswith(f"{package}.")
        and found.source != package
        and room_of(found.target) != room_of(found.source)
        and level[room_of(found.target)] >= level[room_of(found.source)]
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_modules_of_a_room_form_no_circle(folder: Path) -> None:
    graph: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem == "__init__":
            continue
        graph[path.stem] = {
            Path(*found.target.split(".")).name
            for found in imports_of(path)
            if ROOT.joinpath(*found.target.split(".")).parent == folder
        }
    while leaves := [name for name, targets in graph.items() if not targets & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}, "these modules import each other"


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_room_is_small(folder: Path) -> None:
    names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(names) <= MAX_MODULES


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_room_has_a_door(folder: Path) -> None:
    is_room = str(folder.relative_to(ROOT)) not in NOT_ROOMS
    assert (folder / "__init__.py").exists() == is_room
