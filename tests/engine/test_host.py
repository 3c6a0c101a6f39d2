"""How an engine identifies the boot of its machine."""

from __future__ import annotations

from pathlib import Path

from actors.engine.host import boot_of_this_machine


def test_a_boot_is_told_by_the_kernel(tmp_path: Path) -> None:
    """The same each time, without the line's end."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("0b7c\n")

    assert [boot_of_this_machine(boot_id), boot_of_this_machine(boot_id)] == ["0b7c", "0b7c"]


def test_every_start_is_another_boot_where_the_kernel_does_not_say(tmp_path: Path) -> None:
    """Each device file is then put ahead whenever an engine process has started, rather than never."""
    missing = tmp_path / "missing"
    first, second = boot_of_this_machine(missing), boot_of_this_machine(missing)

    assert first != second
    assert first
    assert second
