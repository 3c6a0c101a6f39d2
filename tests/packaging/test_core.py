"""The supervision core can be published by itself: documented, typed, and without any other package of ours."""

from __future__ import annotations

import enum
import inspect
import os
import re
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from shutil import copy2

import pytest
from packaging.requirements import Requirement

import supervisor
from supervisor import errors
from tests.packaging.import_circles import circles
from tests.packaging.project import ROOT

CORE = ROOT / "supervisor"
README = (CORE / "README.md").read_text()
GUIDE = (ROOT / "docs" / "supervision.md").read_text()
DEPENDENCIES = ("trio", "msgspec")
_EXAMPLE = re.compile(r"```python\n(.*?)```\n```text\n(.*?)```", re.DOTALL)
_OURS = re.compile(r"wasup|whatsapp|postgres|compan(?:y|ies)|\bhttp\b|neonize", re.IGNORECASE)


def _public() -> list[object]:
    """The classes and functions that users import."""
    exported = [getattr(supervisor, name) for name in supervisor.__all__]
    return [one for one in (*exported, *vars(errors).values()) if inspect.isfunction(one) or _is_class_of_the_core(one)]


def _is_class_of_the_core(one: object) -> bool:
    return inspect.isclass(one) and one.__module__.startswith("supervisor")


def _undocumented(one: object) -> list[str]:
    name = getattr(one, "__qualname__", repr(one))
    missing = [] if getattr(one, "__doc__", None) else [name]
    if not inspect.isclass(one) or issubclass(one, enum.Enum):
        return missing
    members = {key: value for key, value in vars(one).items() if not key.startswith("_")}
    wanted = {key: value for key, value in members.items() if inspect.isfunction(value) or isinstance(value, property)}
    return missing + [f"{name}.{key}" for key, value in wanted.items() if not inspect.getdoc(value)]


def test_every_public_name_is_documented() -> None:
    """Each class and function that users import, and each of its public methods and properties, has a docstring."""
    assert len(_public()) > 30
    assert [name for one in _public() for name in _undocumented(one)] == []


def test_the_core_has_no_word_of_its_user() -> None:
    """No file of the package names the program that it was written for, or that program's subject."""
    texts = {path: path.read_text() for path in CORE.rglob("*") if path.suffix in {".py", ".md", ".toml"}}
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts.items() for match in _OURS.finditer(text)]

    assert len(texts) > 20
    assert found == []


def test_the_readme_begins_as_the_guide() -> None:
    """The first example of the README is that of the guide."""
    assert _EXAMPLE.findall(README)[0] == _EXAMPLE.findall(GUIDE)[0]


def test_the_import_circle_is_the_one_that_the_readme_states() -> None:
    """The README lists the modules that need each other, imports for type checkers included; there are no others."""
    section = README.split("## Modules that need each other", 1)[1].split("\n## ", 1)[0]
    stated = frozenset(re.findall(r"`((?:\w+\.)*\w+)`", section))

    assert circles(CORE) == [stated]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with only the core's own wheel, trio, msgspec and their dependencies."""
    directory = tmp_path_factory.mktemp("core")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(directory), str(CORE)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = directory.glob("*.whl")
    environment = directory / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    _copy_installed(DEPENDENCIES, next((environment / "lib").glob("python*/site-packages")))
    install = [*pip, "--python", str(python), "install", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    return python


def _copy_installed(names: tuple[str, ...], site_packages: Path) -> None:
    """Copy distributions, and those they require, from this environment: a test uses no package index."""
    todo, seen = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = site_packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                copy2(Path(str(file.locate())), target)
        required = (Requirement(line) for line in distribution.requires or ())
        todo += [one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "output"), _EXAMPLE.findall(README) + _EXAMPLE.findall(GUIDE)[1:])
def test_an_example_runs_with_the_wheel_alone(program: str, output: str, python: Path, tmp_path: Path) -> None:
    """In the fresh environment, away from the tree, each example prints the output below it."""
    file = tmp_path / "example.py"
    file.write_text(program)
    done = subprocess.run(
        [python, "-W", "error", "-P", file],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == (output, "")


@pytest.mark.slow
def test_the_wheel_has_the_core_and_nothing_else(python: Path) -> None:
    """All modules and the marker of typing are there; no other package of ours can be imported."""
    code = (
        "import importlib.util, pathlib, supervisor; root = pathlib.Path(supervisor.__file__).parent;"
        "print(*sorted(str(p.relative_to(root)) for p in root.rglob('*') if p.suffix == '.py' or p.name == 'py.typed'));"
        "print([name for name in ('actors', 'storage', 'config', 'pytest') if importlib.util.find_spec(name)])"
    )
    done = subprocess.run([python, "-P", "-c", code], cwd="/", capture_output=True, text=True, check=True)
    files, others = done.stdout.splitlines()

    assert set(files.split()) == {
        str(path.relative_to(CORE)) for path in CORE.rglob("*") if path.suffix == ".py" or path.name == "py.typed"
    }
    assert others == "[]"
