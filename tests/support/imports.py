"""What the modules of our packages import, as their source says."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
    """The modules of a package, sorted."""
    return tuple(sorted((ROOT / package).rglob("*.py")))


@cache
def imports(package: str) -> tuple[Import, ...]:
    """All imports in the modules of a package."""
    return tuple(found for path in modules(package) for found in imports_of(path))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """The imports of a module, also those inside of functions."""
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[Import]:
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
    """Whether a name is a module, and not something of that name that a door offers."""
    path = ROOT.joinpath(*name.split("."))
    if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists():
        return False
    return path.name not in offered_names(path.parent / "__init__.py")


@cache
def offered_names(door: Path) -> frozenset[str]:
    """Names that a door imports for others."""
    if not door.exists():
        return frozenset()
    nodes = [node for node in ast.parse(door.read_text()).body if isinstance(node, ast.ImportFrom)]
    return frozenset(alias.asname or alias.name for node in nodes for alias in node.names)


def folders(packages: Iterable[str]) -> list[Path]:
    """The folders of these packages that contain modules, sorted."""
    return sorted({path.parent for package in packages for path in modules(package)})
