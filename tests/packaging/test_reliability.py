"""docs/RELIABILITY.md: no experiment is missing, and every test it names exists and names its experiment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.packaging.project import ROOT

TEXT = (ROOT / "docs" / "RELIABILITY.md").read_text()
MEASURED = (ROOT / "docs" / "measurements" / "reliability.md").read_text()
COUNTS = {"S": 8, "P": 8, "L": 4, "D": 6, "E": 9, "N": 4, "X": 12}
IDS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]
PROMISES = 10
FIELDS = ["", "test", "command", "bar", "not covered"]
CITED = re.compile(r"`((?:tests|benchmarks|deploy)/[\w/.-]+\.(?:py|sh))(?:::(test_\w+))?`")


@dataclass(frozen=True, slots=True)
class Citation:
    """A test, or a whole program."""

    path: str
    name: str
    """Empty for a program."""


def blocks(pattern: str) -> dict[str, dict[str, str]]:
    """The fields of each block whose number or id matches, by it: a bold line, then ``- name: text`` items; "" has the line itself."""
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    for paragraph in re.split(r"\n(?=- )|\n\n", TEXT):
        text = " ".join(paragraph.split())
        head = re.match(rf"\*\*({pattern})[.*]", text)
        if head is not None:
            assert head[1] not in found, f"{head[1]} is there twice"
            fields = found[head[1]] = {"": text.removeprefix(head[0]).strip("*: ")}
        elif text.startswith("- "):
            name, _, rest = text.removeprefix("- ").partition(": ")
            fields[name] = rest
        else:
            fields = {}
    return found


def citations(cells: Iterable[str]) -> Iterator[Citation]:
    """The tests and programs that a block names."""
    for match in CITED.finditer(" ".join(cells)):
        yield Citation(match[1], match[2] or "")


@cache
def documented(path: str) -> dict[str, str]:
    """The docstrings of a file's tests, with their names; under the empty name the file itself."""
    if path.endswith(".sh"):
        return {"": (ROOT / path).read_text()}
    tree = ast.parse((ROOT / path).read_text())
    module = ast.get_docstring(tree) or ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {"": module} | {node.name: f"{node.name} {ast.get_docstring(node)} {module}" for node in functions}


EXPERIMENTS = blocks(r"[SPLDENX]\d+")


def test_every_experiment_has_its_block() -> None:
    """All of the list, in its order, and nothing else; each has every field."""
    assert list(EXPERIMENTS) == IDS
    assert {name: list(fields) for name, fields in EXPERIMENTS.items() if list(fields) != FIELDS} == {}


@pytest.mark.parametrize("experiment", IDS)
def test_a_block_is_complete(experiment: str) -> None:
    """Fault, test, command, bar, the part not covered, and the figure on its page: none is empty, and no figure is without a test."""
    fields = EXPERIMENTS[experiment]
    figures = re.findall(rf"^- \*\*{experiment}\*\*: (\S.*)$", MEASURED, re.MULTILINE)

    assert [name for name, text in fields.items() if not text] == []
    assert len(figures) == 1
    assert list(citations(fields.values())) or (fields["test"], figures[0]) == ("none", "not measured")


@pytest.mark.parametrize("experiment", IDS)
def test_what_a_block_names_exists_and_names_the_experiment(experiment: str) -> None:
    """A test by its name or its docstring, or its file's; a program by its docstring."""
    named = re.compile(rf"(?<![A-Za-z0-9]){experiment}(?![A-Za-z0-9])", re.IGNORECASE)
    for cited in citations(EXPERIMENTS[experiment].values()):
        assert (ROOT / cited.path).exists(), cited
        assert cited.name in documented(cited.path), cited
        assert named.search(documented(cited.path)[cited.name].replace("_", " ")), cited


def test_every_promise_has_its_mechanism_and_its_test() -> None:
    """Ten of them, each with a module that keeps it and a test that exists."""
    promises = blocks(r"\d+")

    assert list(promises) == [str(number) for number in range(1, PROMISES + 1)]
    for number, fields in promises.items():
        modules = re.findall(
            r"`((?:actors|storage|supervisor|config|benchmarks|tests/support)/[\w/.]+)`", fields["kept by"]
        )
        tests = list(citations([fields["seen in"]]))
        assert modules, number
        assert [path for path in modules if not (ROOT / path).exists()] == [], number
        assert tests, number
        assert [cited for cited in tests if cited.name not in documented(cited.path)] == [], number


def test_every_other_test_it_names_exists() -> None:
    """In the text and in the blocks of the long runs, too."""
    cited = list(citations(TEXT.splitlines()))

    assert len(cited) > len(IDS)
    assert [each for each in cited if not (ROOT / each.path).exists()] == []
    assert [each for each in cited if each.name not in documented(each.path)] == []


def test_every_make_target_it_names_exists() -> None:
    """Commands can be typed as they are written there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`[A-Z=\d ]*make ([a-z-]+)", TEXT))

    assert named >= {"test", "test-long", "chaos"}
    assert named <= targets
