"""Which modules of a package need each other in a circle, imports for type checkers included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


def circles(package: Path) -> list[frozenset[str]]:
    """The groups of modules below ``package`` that import each other in a circle, the largest first; names without the top level."""
    graph = imports(package)
    found = {group for module in graph if len(group := _circle_of(module, graph)) > 1}
    return sorted(found, key=lambda group: (-len(group), sorted(group)))


def imports(package: Path) -> Graph:
    """For each module below ``package``, the modules below it that it imports, ``if TYPE_CHECKING`` included."""
    top = package.name
    files = {_name(package, path): path for path in package.rglob("*.py") if "__pycache__" not in path.parts}
    return {name: frozenset(_imported(path, top) & files.keys()) for name, path in files.items() if name}


def _name(package: Path, path: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, top: str) -> set[str]:
    return {name.removeprefix(f"{top}.") for name in _names(ast.parse(path.read_text())) if name.startswith(f"{top}.")}


def _names(tree: ast.Module) -> Iterator[str]:
    """Each named module, and each name imported from one, which may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _circle_of(module: str, graph: Graph) -> frozenset[str]:
    """The modules that ``module`` reaches and that reach it."""
    reached = _reach(module, graph)
    return frozenset(other for other in reached if module in _reach(other, graph))


def _reach(module: str, graph: Graph) -> set[str]:
    reached: set[str] = set()
    todo = [module]
    while todo:
        for other in graph[todo.pop()] - reached:
            reached.add(other)
            todo.append(other)
    return reached
