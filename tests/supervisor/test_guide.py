"""docs/supervision.md: its examples run and print what it says, and the tests it names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "supervision.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", GUIDE, re.DOTALL)


def test_every_example_says_what_it_prints() -> None:
    """Every program in the guide has its output."""
    assert len(EXAMPLES) == GUIDE.count("```python\n") >= 8


@pytest.mark.slow
@pytest.mark.parametrize(("program", "output"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_the_guide_says(program: str, output: str, tmp_path: Path) -> None:
    """Run as a program of its own, from a file, with nothing else imported and every warning an error."""
    file = tmp_path / "example.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == (output, "")


@pytest.mark.slow
def test_the_examples_are_typed(tmp_path: Path) -> None:
    """mypy in strict mode finds no error in them."""
    files: list[str] = []
    for number, (program, _) in enumerate(EXAMPLES):
        file = tmp_path / f"example_{number}.py"
        file.write_text(program)
        files.append(str(file))
    command = [sys.executable, "-m", "mypy", "--strict", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout


def test_every_guarantee_names_a_test_that_exists() -> None:
    """The tests of the table of guarantees are there."""
    table = GUIDE.split("## Guarantees", 1)[1].split("## Differences", 1)[0]
    named = set(re.findall(r"`(test_\w+)`", table))
    sources = "\n".join(file.read_text() for file in Path(__file__).parent.rglob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)\(", sources, re.MULTILINE))

    assert len(named) >= 20
    assert named <= defined
