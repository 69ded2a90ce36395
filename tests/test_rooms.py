"""Import rules between packages and rooms, checked in the source of every module.

A room is a folder inside of a package. Its door is its `__init__.py`: modules of other rooms import
from there and from nowhere else. A wing is a folder of rooms. `ORDER` lists the rooms and wings of
each package, and the rooms of each wing, from the bottom up; each imports only from those below it,
so there can be no circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import ROOT, Import, folders, imports, imports_of, offered_names

#: What each package may import, besides itself and other people's packages.
PACKAGES = {
    "shards_spec": {"shards_spec"},
    "pipeline": {"pipeline", "shards_spec"},
    "trainer": {"trainer", "shards_spec"},
    "reelshards": {"reelshards", "pipeline", "trainer", "shards_spec"},
}

FOLDERS = folders(PACKAGES)

#: Packages that must not appear anywhere in ours.
FORBIDDEN = {
    "shards_spec": {"torch", "ray", "librosa", "ffmpeg"},
    "pipeline": {"torch"},
    "trainer": {"ray", "ffmpeg", "librosa"},
    "reelshards": {"ray", "ffmpeg", "librosa"},
}

#: Modules that a loader process runs; they must not need torch.
LOADER_WORKER = "trainer.data.loader.worker"

#: The rooms, wings and modules of each package and wing, from the bottom up. Names in one line
#: are on the same level and do not import each other.
ORDER = {
    "shards_spec": """
        errors
        layout process recipe redaction version
        cli schema order
        progress
        sample storage
        conformance dataset
        __main__
    """,
    "shards_spec/dataset": """
        bounds card mels
        duplicates labels dropped
        writer reader
        index
        validation inspection fingerprints
        browser lockfile
    """,
    "pipeline": """
        errors deploy lease
        limits other_users
        config sources views
        ffmpeg
        probe demo
        plan labels tags
        audio video
        movie excerpts matching
        engine
        run
        rebuild
        console label_command rebuild_command
        prune_command
        __main__
        drain
    """,
    "trainer": """
        data console settings
        config models ranks supply trackers
        runs plan_report
        train analyse transfer study commands
        __main__
    """,
    "trainer/data": """
        randomness fetch mix
        plan loader
        stream
    """,
    "trainer/runs": """
        learning atomic_files growth
        checkpoints
        bucket lock
        config_file
        folder journal
        launch plot_curves exposure
        scoring
        evaluate initial_weights
    """,
    "reelshards": """
        packages
        encoder hub
        embed push transfer preprocessing board
        api commands
        __main__
    """,
}

#: Folders that group rooms and have no door of their own: other rooms enter the rooms in them.
WINGS = {place for place in ORDER if "/" in place}

#: Folders of scripts and files that nothing imports.
NOT_ROOMS = {"pipeline/deploy"}

#: Maximum number of modules in a room, its `__init__.py` included.
MAX_MODULES = 12

#: Maximum number of names that a door offers; a room with more offers modules of related names. The
#: doors of `reelshards` and `shards_spec` are public interfaces and may be wider.
MAX_NAMES = 8


def room_of(module: str) -> str:
    """`pipeline.probe.cut_off` and `pipeline.probe` -> `pipeline/probe`; a module at the root of a
    package or wing is a room by itself."""
    parts = module.split(".")
    return "/".join(parts[: 3 if "/".join(parts[:2]) in WINGS else 2])


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
def test_packages_do_not_import_forbidden_packages(package: str) -> None:
    wrong = [
        str(found) for found in imports(package) if found.target.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_loader_workers_start_without_torch() -> None:
    seen: set[str] = set()
    waiting = [LOADER_WORKER]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = ROOT.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for found in imports_of(path):
            if found.is_lazy:
                continue
            parts = found.target.split(".")
            assert parts[0] != "torch", str(found)
            # An import also runs the doors on the way to its module.
            if parts[0] in PACKAGES:
                waiting += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    assert "trainer.data.fetch" in seen


def test_rooms_are_entered_through_their_door() -> None:
    all_imports = [found for package in PACKAGES for found in ours(package)]
    assert [str(found) for found in all_imports if is_past_door(found)] == []


def is_past_door(found: Import) -> bool:
    """Whether an import goes past the door of another room.

    A door may offer a whole module of its room, such as `pipeline.engine.events`. Command lines may
    import modules of rooms inside of functions, so that a command loads only what it needs.
    """
    room = room_of(found.target)
    inside = found.target.split(".")[room.count("/") + 1 :]
    if not inside or room == room_of(found.source):
        return False
    if found.is_lazy and found.path.name == "__main__.py":
        return False
    return inside[0] not in offered_names(ROOT / room / "__init__.py")


@pytest.mark.parametrize("place", ORDER)
def test_rooms_import_only_from_rooms_below(place: str) -> None:
    prefix = place.replace("/", ".") + "."

    def inside(module: str) -> str:
        """The room or module of the place that contains a module; empty outside of the place."""
        return module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) else ""

    level = {
        name: number
        for number, line in enumerate(ORDER[place].strip().splitlines())
        for name in line.split()
    }
    all_imports = imports(place.split("/")[0])
    rooms = {inside(found.source) for found in all_imports} | {
        path.stem for path in (ROOT / place).glob("*.py") if path.stem != "__init__"
    }
    assert rooms - {""} == set(level), "ORDER lists the rooms as they are"
    wrong = [
        str(found)
        for found in all_imports
        if (source := inside(found.source))
        and (target := inside(found.target))
        and source != target
        and level[target] >= level[source]
    ]
    assert wrong == []


def test_wings_offer_nothing() -> None:
    """A name that a wing offered would load all of its rooms with the first of them."""
    for wing in sorted(WINGS):
        [docstring] = ast.parse((ROOT / wing / "__init__.py").read_text()).body
        assert isinstance(docstring, ast.Expr)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
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


@pytest.mark.parametrize(
    "folder",
    [*FOLDERS, ROOT / "benchmarks"],
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_a_room_is_small(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= MAX_MODULES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_room_has_a_door(folder: Path) -> None:
    is_room = str(folder.relative_to(ROOT)) not in NOT_ROOMS
    assert (folder / "__init__.py").exists() == is_room


@pytest.mark.parametrize(
    "folder",
    [
        *(folder for folder in FOLDERS if (folder / "__init__.py").exists()),
        *sorted(path.parent for path in ROOT.glob("benchmarks/*/__init__.py")),
    ],
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_a_door_offers_few_names(folder: Path) -> None:
    is_public = folder.parent == ROOT
    names = [
        ast.literal_eval(node.value)
        for node in ast.parse((folder / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert is_public or max(map(len, names), default=0) <= MAX_NAMES
